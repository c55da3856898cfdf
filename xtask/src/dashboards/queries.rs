//! The queries of dashboards, and what is in them.

use serde_json::Value;

/// A query and where it is.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// Dashboard, panel and `refId`, for people.
    pub(super) place: String,
    pub(super) expr: String,
}

/// All queries of panels, annotations and variables of a dashboard.
pub(super) fn of(name: &str, board: &Value) -> Vec<Query> {
    let list = |at: &str| board.pointer(at).and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).map(ToOwned::to_owned);
    let mut queries = Vec::new();
    for panel in list("/panels") {
        let title = text(panel, "/title").unwrap_or_default();
        for target in panel.get("targets").and_then(Value::as_array).into_iter().flatten() {
            let place = format!("{name}: {title}, {}", text(target, "/refId").unwrap_or_default());
            queries.extend(text(target, "/expr").map(|expr| Query { place, expr }));
        }
    }
    for annotation in list("/annotations/list") {
        let place = format!("{name}: annotation {}", text(annotation, "/name").unwrap_or_default());
        queries.extend(text(annotation, "/expr").map(|expr| Query { place, expr }));
    }
    for variable in list("/templating/list") {
        let place = format!("{name}: variable {}", text(variable, "/name").unwrap_or_default());
        let query = text(variable, "/query/query");
        let series = query.as_deref().and_then(|it| it.strip_prefix("label_values("));
        let series = series.and_then(|it| it.rsplit_once(',')).map(|(series, _)| series.to_owned());
        queries.extend(series.map(|expr| Query { place, expr }));
    }
    queries
}

/// Names after `$`: of Grafana's variables.
pub(super) fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        // `$1` is of label_replace.
        rest.get(..end).filter(|name| !name.is_empty() && !name.chars().all(|c| c.is_ascii_digit()))
    })
}

/// The query as Prometheus gets it.
pub(super) fn filled(expr: &str) -> String {
    ["$__rate_interval", "$__interval", "$__range_s", "$__range"]
        .into_iter()
        .fold(expr.to_owned(), |expr, name| {
            expr.replace(name, if name.ends_with("_s") { "300" } else { "5m" })
        })
        .replace("$cluster", ".*")
        .replace("$job", ".*")
        .replace("$node", ".*")
        .replace("$namespace", ".*")
        .replace("$pod", ".*")
}

/// Names in an expression that can only be those of metrics.
pub(super) fn metrics(expr: &str) -> impl Iterator<Item = &str> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| ["oom_", "process_", "container_", "scrape_"].iter().any(|it| word.starts_with(it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let expr =
            r#"label_replace(rate(oom_x_total{a=~"$node"}[$__range]) / oom_y, "b", "$1", "c", "(.+)")"#;
        assert_eq!(metrics(expr).collect::<Vec<_>>(), ["oom_x_total", "oom_y"]);
        assert_eq!(variables(expr).collect::<Vec<_>>(), ["node", "__range"]);
        assert_eq!(
            variables("http://${node}/?${datasource:queryparam}").collect::<Vec<_>>(),
            ["node", "datasource"]
        );
        assert!(!filled(expr).contains("$__") && !filled(expr).contains("$node"));
    }
}
