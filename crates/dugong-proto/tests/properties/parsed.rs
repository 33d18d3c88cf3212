//! A reader of requests that shares nothing with the crate.

use crate::exchanges::Pairs;

/// A request as it is on the wire, read literally: CRLF ends lines, and nothing else does.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Pairs,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Pairs,
    /// How many bytes each chunk had.
    pub(crate) chunks: Vec<usize>,
}

impl Parsed {
    /// Reads the head alone.
    pub(crate) fn take_head(rest: &mut &[u8]) -> Parsed {
        let line = String::from_utf8(take_line(rest)).expect("a request line is ASCII");
        let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three words in {line:?}") };
        assert_eq!(version, "HTTP/1.1");
        let (method, target) = (method.to_owned(), target.to_owned());
        Parsed { method, target, fields: take_section(rest), content: Vec::new(), trailers: Vec::new(), chunks: Vec::new() }
    }

    /// Reads the head and the content.
    pub(crate) fn take(rest: &mut &[u8]) -> Parsed {
        let mut parsed = Parsed::take_head(rest);
        match (parsed.value("Content-Length"), parsed.value("Transfer-Encoding")) {
            (None, None) => {}
            (Some(length), None) => {
                let length = String::from_utf8(length).expect("digits").parse().expect("a number");
                parsed.content = take_bytes(rest, length);
            }
            (None, Some(coding)) => {
                assert_eq!(coding, b"chunked");
                loop {
                    let size = String::from_utf8(take_line(rest)).expect("a size line is ASCII");
                    assert!(size.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{size:?}");
                    assert!(size == "0" || !size.starts_with('0'), "{size:?}");
                    let size = usize::from_str_radix(&size, 16).expect("a number");
                    if size == 0 {
                        break;
                    }
                    parsed.chunks.push(size);
                    parsed.content.extend(take_bytes(rest, size));
                    assert_eq!(take_line(rest), b"", "CRLF follows a chunk");
                }
                parsed.trailers = take_section(rest);
            }
            (Some(_), Some(_)) => panic!("two framings: {:?}", parsed.fields),
        }
        parsed
    }

    /// The value of a field that must not occur twice.
    pub(crate) fn value(&self, name: &str) -> Option<Vec<u8>> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there twice");
        value
    }
}

fn take_bytes(rest: &mut &[u8], length: usize) -> Vec<u8> {
    let (bytes, behind) = rest.split_at(length);
    *rest = behind;
    bytes.to_vec()
}

fn take_line(rest: &mut &[u8]) -> Vec<u8> {
    let end =
        rest.windows(2).position(|window| window == b"\r\n").unwrap_or_else(|| panic!("no CRLF in {:?}", rest.escape_ascii()));
    let line = take_bytes(rest, end);
    take_bytes(rest, 2);
    assert!(!line.iter().any(|byte| b"\r\n\0".contains(byte)), "in a line: {:?}", line.escape_ascii());
    line
}

fn take_section(rest: &mut &[u8]) -> Pairs {
    let mut fields = Vec::new();
    loop {
        let line = take_line(rest);
        if line.is_empty() {
            return fields;
        }
        let colon = line.iter().position(|&byte| byte == b':').expect("a colon in a field line");
        let name = String::from_utf8(line[..colon].to_vec()).expect("a name is ASCII");
        assert!(!name.is_empty() && !name.contains([' ', '\t']), "{name:?}");
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}
