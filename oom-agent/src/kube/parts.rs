//! A list or a watch cut into its objects as it arrives, so that no more than one of them is in memory. Pure.

/// Bytes of one object, at most: what etcd takes is less.
const OBJECT: usize = 4 << 20;
/// Bytes of what stands around the objects of a list, at most.
const AROUND: usize = 64 << 10;

/// It is longer than anything that Kubernetes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The lines of a watch.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Hands on every line that is complete.
    pub(super) fn push<E: From<TooLong>>(
        &mut self,
        mut bytes: &[u8],
        mut line: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.0.is_empty() {
                line(head)?;
            } else {
                self.0.extend_from_slice(head);
                line(&std::mem::take(&mut self.0))?;
            }
        }
        self.0.extend_from_slice(bytes);
        if self.0.len() > OBJECT { Err(TooLong.into()) } else { Ok(()) }
    }
}

/// The items of a list: what is in an array of the outermost object.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Objects and arrays that are open.
    depth: usize,
    /// The outermost object's array is open.
    in_array: bool,
    in_string: bool,
    escaped: bool,
    item: Vec<u8>,
    around: Vec<u8>,
}

impl Items {
    /// Hands on every item that is complete.
    pub(super) fn push<E: From<TooLong>>(
        &mut self,
        bytes: &[u8],
        mut item: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for &byte in bytes {
            let before = self.depth;
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                if byte == b'[' && before == 1 {
                    self.in_array = true;
                }
                if byte == b']' && self.depth == 1 {
                    self.in_array = false;
                }
            }
            // An item is all of an object in the array, with its braces.
            let in_item = self.in_array && self.depth.max(before) > 2;
            if in_item {
                self.item.push(byte);
                if self.depth == 2 {
                    item(&self.item)?;
                    // A pod that is much longer than others does not leave its room behind.
                    self.item.clear();
                }
            } else if !(self.in_array && before == 2) {
                self.around.push(byte);
            }
            if self.item.len() > OBJECT || self.around.len() > AROUND {
                return Err(TooLong.into());
            }
        }
        Ok(())
    }

    /// What stood around the items.
    pub(super) fn around(self) -> Vec<u8> {
        self.around
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(text: &str, step: usize) -> (Vec<String>, String) {
        let (mut found, mut items) = (Vec::new(), Items::default());
        for part in text.as_bytes().chunks(step) {
            items
                .push(part, |item| {
                    found.push(String::from_utf8(item.to_vec()).unwrap());
                    Ok::<(), TooLong>(())
                })
                .unwrap();
        }
        (found, String::from_utf8(items.around()).unwrap())
    }

    #[test]
    fn items_are_cut_out_however_they_arrive() {
        let text = r#"{"kind":"PodList","metadata":{"resourceVersion":"7","x":[1,{}]},"items":[{"a":"]}\"{[","b":[{}]}, {"c":1} ],"z":"[{"}"#;
        for step in [1, 2, 3, 7, 1000] {
            let (found, around) = items(text, step);
            assert_eq!(found, [r#"{"a":"]}\"{[","b":[{}]}"#, r#"{"c":1}"#]);
            let around: serde_json::Value = serde_json::from_str(&around).unwrap();
            assert_eq!((&around["metadata"]["resourceVersion"], &around["z"]), (&"7".into(), &"[{".into()));
            assert_eq!(around["items"], serde_json::json!([]));
        }
        assert_eq!(items(r#"{"items":[],"metadata":{}}"#, 4).0, Vec::<String>::new());
        assert_eq!(items(r#"{"items":null,"metadata":{}}"#, 4).1, r#"{"items":null,"metadata":{}}"#);
        assert_eq!(items("]]}}", 1).0, Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_however_they_are_cut(text in r#"[\[\]{}",: ax7\\]{0,80}"#, step in 1_usize..9) {
            prop_assert_eq!(items(&text, step), items(&text, 1000));
        }
    }

    #[test]
    fn what_does_not_end_is_given_up() {
        let mut items = Items::default();
        assert!(items.push(br#"{"items":[{"a":""#, |_| Ok::<(), TooLong>(())).is_ok());
        let more = vec![b'x'; OBJECT];
        assert_eq!(items.push(&more, |_| Ok::<(), TooLong>(())), Err(TooLong));
        assert_eq!(Items::default().push(&more, |_| Ok::<(), TooLong>(())), Err(TooLong), "no list");
        let mut lines = Lines::default();
        assert!(lines.push(&more, |_| Ok::<(), TooLong>(())).is_ok());
        assert_eq!(lines.push(b"x", |_| Ok::<(), TooLong>(())), Err(TooLong));
    }

    #[test]
    fn lines_are_whole() {
        let (mut found, mut lines) = (Vec::new(), Lines::default());
        for part in ["a", "b\n", "c\nd\ne", "\n\n"] {
            let keep = |line: &[u8]| {
                found.push(String::from_utf8(line.to_vec()).unwrap());
                Ok::<(), TooLong>(())
            };
            lines.push(part.as_bytes(), keep).unwrap();
        }
        assert_eq!(found, ["ab", "c", "d", "e", ""]);
    }
}
