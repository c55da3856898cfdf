//! What dashboards are made of. A panel cannot be made without a description and a unit.

use serde_json::{Value, json};

/// The data source that the user has chosen.
pub(super) fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// How a panel shows its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stat,
    Lines,
    Bars,
    BarGauge,
    Table,
}

/// A panel, before it has a place.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    /// Of the 24 columns.
    width: u64,
    height: u64,
    targets: Vec<Value>,
    /// `(from, colour)`, beginning at the lowest.
    steps: Vec<(Option<f64>, &'static str)>,
    /// Of a table: what it is renamed to, by what it is called, in the order of the columns.
    columns: Vec<(&'static str, &'static str)>,
    overrides: Vec<Value>,
    least: Option<f64>,
    most: Option<f64>,
    decimals: Option<u64>,
    /// What is said where there is nothing.
    nothing: &'static str,
    sort_by: Option<(&'static str, bool)>,
    /// Of a number: whether its name is shown and not its value.
    shows_name: bool,
    /// No point of a graph is for a shorter time.
    interval: Option<&'static str>,
}

fn panel(kind: Kind, title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    let (width, height) = match kind {
        Kind::Stat => (4, 4),
        Kind::Lines | Kind::Bars | Kind::BarGauge | Kind::Table => (12, 8),
    };
    Panel {
        kind,
        title,
        description,
        unit,
        width,
        height,
        targets: Vec::new(),
        steps: vec![(None, if matches!(kind, Kind::BarGauge) { "semi-dark-blue" } else { "text" })],
        columns: Vec::new(),
        overrides: Vec::new(),
        least: None,
        most: None,
        decimals: None,
        nothing: "no data",
        sort_by: None,
        shows_name: false,
        // Four times the usual 15 s between scrapes: `$__rate_interval` is then one scrape longer than the distance of two
        // points, so that each increase is in one of them and in no other.
        interval: (kind == Kind::Bars).then_some("1m"),
    }
}

/// A number.
pub(super) fn stat(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Stat, title, description, unit)
}

/// A curve for each series.
pub(super) fn lines(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Lines, title, description, unit)
}

/// Stacked bars over time: for what happens now and then.
pub(super) fn bars(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Bars, title, description, unit)
}

/// A bar for each series, now.
pub(super) fn bar_gauge(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::BarGauge, title, description, unit)
}

/// A row for each set of labels.
pub(super) fn table(title: &'static str, description: &'static str) -> Panel {
    panel(Kind::Table, title, description, "short")
}

impl Panel {
    /// One more query. Of tables, numbers and bar gauges only the last value counts. `legend`: of a table, ignored.
    pub(super) fn query(mut self, legend: &str, expr: impl Into<String>) -> Self {
        let id = char::from(b'A' + u8::try_from(self.targets.len()).unwrap_or_default());
        let instant = matches!(self.kind, Kind::Stat | Kind::BarGauge | Kind::Table);
        let format = if self.kind == Kind::Table { "table" } else { "time_series" };
        let expr: String = expr.into();
        self.targets.push(json!({
            "refId": id.to_string(),
            "datasource": source(),
            "expr": expr,
            "legendFormat": if self.kind == Kind::Table { "" } else { legend },
            "instant": instant,
            "range": !instant,
            "format": format,
            "editorMode": "code",
        }));
        self
    }

    pub(super) const fn size(mut self, width: u64, height: u64) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// Colours from these values on.
    pub(super) fn steps(mut self, first: &'static str, steps: &[(f64, &'static str)]) -> Self {
        self.steps = vec![(None, first)];
        self.steps.extend(steps.iter().map(|(from, colour)| (Some(*from), *colour)));
        self
    }

    pub(super) const fn range(mut self, least: f64, most: Option<f64>) -> Self {
        (self.least, self.most) = (Some(least), most);
        self
    }

    pub(super) const fn decimals(mut self, decimals: u64) -> Self {
        self.decimals = Some(decimals);
        self
    }

    pub(super) const fn nothing(mut self, nothing: &'static str) -> Self {
        self.nothing = nothing;
        self
    }

    /// A column of a table, from left to right. Labels that have none are not shown.
    pub(super) fn column(mut self, from: &'static str, name: &'static str) -> Self {
        self.columns.push((from, name));
        self
    }

    /// A column of numbers.
    pub(super) fn value(mut self, from: &'static str, name: &'static str, unit: &'static str) -> Self {
        let properties = [
            ("unit", json!(unit)),
            ("decimals", json!(decimals(unit))),
            // Else what is said of the whole table.
            ("noValue", json!("-")),
            ("custom.width", json!(110)),
        ];
        self.overrides.push(by_name(name, &properties));
        self.column(from, name)
    }

    /// A column with properties of its own: width, colours, links.
    pub(super) fn property(mut self, name: &'static str, property: &'static str, value: &Value) -> Self {
        self.overrides.push(by_name(name, &[(property, value.clone())]));
        self
    }

    pub(super) const fn sort_by(mut self, column: &'static str, descending: bool) -> Self {
        self.sort_by = Some((column, descending));
        self
    }

    /// The name of the series is what is said.
    pub(super) const fn shows_name(mut self) -> Self {
        self.shows_name = true;
        self
    }

    /// Width and height, in cells of the grid.
    pub(super) const fn extent(&self) -> (u64, u64) {
        (self.width, self.height)
    }

    /// Its JSON, at a place.
    pub(super) fn json(&self, id: u64, x: u64, y: u64) -> Value {
        let steps: Vec<_> =
            self.steps.iter().map(|(from, colour)| json!({"value": from, "color": colour})).collect();
        let by_thresholds = matches!(self.kind, Kind::Stat | Kind::BarGauge | Kind::Table);
        let mut defaults = json!({
            "unit": self.unit,
            "color": {"mode": if by_thresholds { "thresholds" } else { "palette-classic" }},
            "thresholds": {"mode": "absolute", "steps": steps},
            "noValue": self.nothing,
            "custom": self.custom(),
        });
        for (name, value) in [("min", self.least), ("max", self.most)] {
            if let Some(value) = value {
                defaults[name] = json!(value);
            }
        }
        if let Some(decimals) = self.decimals {
            defaults["decimals"] = json!(decimals);
        }
        let mut panel = json!({
            "id": id,
            "type": self.name(),
            "title": self.title,
            "description": self.description,
            "datasource": source(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": self.overrides},
            "options": self.options(),
            "targets": self.targets,
        });
        if let Some(interval) = self.interval {
            panel["interval"] = json!(interval);
        }
        if self.kind == Kind::Table {
            panel["transformations"] = self.transformations();
        }
        panel
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Stat => "stat",
            Kind::Lines | Kind::Bars => "timeseries",
            Kind::BarGauge => "bargauge",
            Kind::Table => "table",
        }
    }

    fn custom(&self) -> Value {
        match self.kind {
            Kind::Lines => json!({
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
                "axisPlacement": "auto", "axisSoftMin": 0, "thresholdsStyle": {"mode": "off"},
            }),
            Kind::Bars => json!({
                "drawStyle": "bars", "lineWidth": 0, "fillOpacity": 80, "showPoints": "never", "barAlignment": -1,
                "stacking": {"mode": "normal", "group": "A"}, "axisPlacement": "auto", "axisSoftMin": 0,
                "thresholdsStyle": {"mode": "off"},
            }),
            Kind::Table => json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false}),
            Kind::Stat | Kind::BarGauge => json!({}),
        }
    }

    fn options(&self) -> Value {
        let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self.kind {
            Kind::Stat => json!({
                "reduceOptions": last, "orientation": "auto", "colorMode": "value", "graphMode": "none",
                "justifyMode": "auto", "textMode": if self.shows_name { "name" } else { "auto" }, "wideLayout": true, "showPercentChange": false,
                "percentChangeColorMode": "standard",
            }),
            Kind::Lines | Kind::Bars => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": self.kind == Kind::Bars},
            }),
            Kind::BarGauge => json!({
                "reduceOptions": last, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": true,
                "valueMode": "color", "namePlacement": "left", "sizing": "auto",
                "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 32,
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
            }),
            Kind::Table => {
                let sort = self.sort_by.map(|(name, desc)| json!({"displayName": name, "desc": desc}));
                json!({"showHeader": true, "frameIndex": 0, "cellHeight": "sm", "sortBy": sort.into_iter().collect::<Vec<_>>()})
            }
        }
    }

    /// One table of all queries, with these columns and no others.
    fn transformations(&self) -> Value {
        let names =
            |of: fn(usize, &(&'static str, &'static str)) -> Value| -> serde_json::Map<String, Value> {
                self.columns
                    .iter()
                    .enumerate()
                    .map(|(at, column)| (column.0.to_owned(), of(at, column)))
                    .collect()
            };
        json!([
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": self.columns.iter().map(|it| it.0).collect::<Vec<_>>()}}},
            {"id": "organize", "options": {
                "excludeByName": {},
                "includeByName": {},
                "indexByName": names(|at, _| json!(at)),
                "renameByName": names(|_, (_, name)| json!(name)),
            }},
        ])
    }
}

const fn decimals(unit: &str) -> u64 {
    match unit.as_bytes() {
        b"short" | b"s" => 0,
        _ => 1,
    }
}

fn by_name(name: &str, properties: &[(&str, Value)]) -> Value {
    let properties: Vec<_> = properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
    json!({"matcher": {"id": "byName", "options": name}, "properties": properties})
}
