//! Random requests with all responses to them: as bytes, and as the events that the client must report.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use dugong_proto::{Announced, Fields, Method, RequestHead};

/// A request, and all responses of the server to it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) upload: Upload,
    pub(crate) expect: bool,
    pub(crate) interims: Vec<(u16, Vec<Field>)>,
    pub(crate) empty_line_before: bool,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Upload {
    Nothing,
    Length(Vec<u8>),
    Chunked(Vec<u8>, Vec<Field>),
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A status without content, or a response to HEAD. Its fields may say otherwise.
    None(&'static str),
    Length(Vec<u8>),
    /// Each chunk with its size line.
    Chunked(Vec<(String, Vec<u8>)>, Vec<Field>),
    /// Only possible as the last response.
    UntilClose(Vec<u8>),
}

/// A field whose value may be folded: blanks before each part, and the part.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) parts: Vec<(&'static str, Vec<u8>)>,
}

impl Field {
    fn value(&self) -> Vec<u8> {
        self.parts.iter().map(|(_, part)| part.as_slice()).collect::<Vec<_>>().join(&b' ')
    }

    fn line(&self) -> Vec<u8> {
        let mut line = [self.name.as_bytes(), b":"].concat();
        for (index, (blanks, part)) in self.parts.iter().enumerate() {
            line.extend_from_slice(if index > 0 { b"\r\n\t" } else { b"" });
            line.extend_from_slice(blanks.as_bytes());
            line.extend_from_slice(part);
            line.extend_from_slice(blanks.as_bytes());
        }
        [line, b"\r\n".to_vec()].concat()
    }
}

pub(crate) fn lines(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(Field::line).collect()
}

pub(crate) type Pairs = Vec<(String, Vec<u8>)>;

pub(crate) fn expected_pairs(fields: &[Field]) -> Pairs {
    fields.iter().map(|field| (field.name.clone(), field.value())).collect()
}

pub(crate) fn pairs(fields: &Fields) -> Pairs {
    fields.iter().map(|line| (line.name().to_owned(), line.value().to_vec())).collect()
}

pub(crate) fn to_fields(fields: &[Field]) -> Fields {
    let mut out = Fields::new();
    fields.iter().for_each(|field| out.append(&field.name, field.value()).expect("a valid field"));
    out
}

impl Exchange {
    pub(crate) fn has_upload(&self) -> bool {
        match &self.upload {
            Upload::Nothing => false,
            Upload::Length(content) => !content.is_empty(),
            Upload::Chunked(..) => true,
        }
    }

    pub(crate) fn content(&self) -> &[u8] {
        match &self.upload {
            Upload::Nothing => b"",
            Upload::Length(content) | Upload::Chunked(content, _) => content,
        }
    }

    pub(crate) fn head(&self) -> RequestHead {
        let method = Method::new(self.method).expect("a valid method");
        let mut head = RequestHead::new(method, self.target.as_str()).expect("a valid target");
        head.fields.append("X-Target", &self.target).expect("a valid field");
        head.content = match &self.upload {
            Upload::Nothing => Announced::Nothing,
            Upload::Length(content) => Announced::Length(content.len() as u64),
            Upload::Chunked(..) => Announced::Chunked,
        };
        head.expect_continue = self.expect;
        head
    }

    pub(crate) fn interim_bytes(&self) -> Vec<u8> {
        let empty_line = if self.empty_line_before { "\r\n" } else { "" };
        let mut bytes = empty_line.as_bytes().to_vec();
        for (status, fields) in &self.interims {
            bytes.extend_from_slice(format!("HTTP/1.1 {status} Wait\r\n").as_bytes());
            bytes.extend_from_slice(&lines(fields));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    fn final_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        bytes.extend_from_slice(&lines(&self.fields));
        match &self.body {
            Body::None(fields) => bytes.extend_from_slice(format!("{fields}\r\n").as_bytes()),
            Body::Length(content) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
                bytes.extend_from_slice(content);
            }
            Body::Chunked(chunks, trailers) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for (size_line, data) in chunks {
                    bytes.extend_from_slice(&[size_line.as_bytes(), b"\r\n", data, b"\r\n"].concat());
                }
                bytes.extend_from_slice(&[b"0\r\n", lines(trailers).as_slice(), b"\r\n"].concat());
            }
            Body::UntilClose(content) => bytes.extend_from_slice(&[b"\r\n", content.as_slice()].concat()),
        }
        bytes
    }

    pub(crate) fn response_bytes(&self) -> Vec<u8> {
        [self.interim_bytes(), self.final_bytes()].concat()
    }

    /// All events that the client must report of the responses.
    pub(crate) fn expected(&self) -> Vec<Seen> {
        let mut seen: Vec<Seen> =
            self.interims.iter().map(|(status, fields)| Seen::Interim(*status, expected_pairs(fields))).collect();
        let mut fields = expected_pairs(&self.fields);
        let (content, trailers) = match &self.body {
            Body::None("") => (Vec::new(), Vec::new()),
            Body::None(extra) => {
                let (name, value) = extra.trim_end().split_once(": ").expect("a field line");
                fields.push((name.to_owned(), value.into()));
                (Vec::new(), Vec::new())
            }
            Body::Length(content) => {
                fields.push(("Content-Length".to_owned(), content.len().to_string().into_bytes()));
                (content.clone(), Vec::new())
            }
            Body::Chunked(chunks, trailers) => {
                fields.push(("Transfer-Encoding".to_owned(), b"chunked".to_vec()));
                (chunks.iter().flat_map(|(_, data)| data.clone()).collect(), expected_pairs(trailers))
            }
            Body::UntilClose(content) => (content.clone(), Vec::new()),
        };
        seen.push(Seen::Response(self.status, self.reason.clone().into_bytes(), fields));
        seen.push(Seen::Complete(content, trailers));
        seen
    }
}

pub(crate) fn field() -> impl Strategy<Value = Field> {
    let byte = prop_oneof![8 => b'!'..=b'~', 1 => 0x80u8..=0xff];
    let part = (select(vec!["", " ", "\t ", "   "]), vec(byte, 1..8));
    ("X-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,6}", vec(part, 0..3)).prop_map(|(name, parts)| Field { name, parts })
}

pub(crate) fn plain_field() -> impl Strategy<Value = Field> {
    field().prop_map(|field| Field { parts: field.parts.into_iter().take(1).collect(), ..field })
}

pub(crate) fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(select(b"\r\n0HTP/1. ;:a".to_vec()), 0..200)]
}

pub(crate) fn chunk() -> impl Strategy<Value = (String, Vec<u8>)> {
    let extension =
        prop_oneof![2 => Just(String::new()), 1 => "[ \t]{1,16}", 1 => "[ \t]{0,2};[a-z]{1,3}(=([a-z]|\"[ ;a-z]{0,4}\"))?"];
    (content(), any::<bool>(), 0usize..5, extension).prop_map(|(mut data, upper, zeros, extension)| {
        if data.is_empty() {
            data.push(b'0');
        }
        let digits = if upper { format!("{:X}", data.len()) } else { format!("{:x}", data.len()) };
        (format!("{}{digits}{extension}", "0".repeat(zeros)), data)
    })
}

pub(crate) fn upload() -> impl Strategy<Value = Upload> {
    prop_oneof![
        1 => Just(Upload::Nothing),
        2 => content().prop_map(Upload::Length),
        2 => (content(), vec(plain_field(), 0..3)).prop_map(|(content, trailers)| Upload::Chunked(content, trailers)),
    ]
}

pub(crate) fn exchange() -> impl Strategy<Value = Exchange> {
    let request = (select(vec!["GET", "GET", "HEAD", "PUT", "PUT", "POST"]), "/[a-z]{0,5}", upload(), any::<bool>());
    let interims = vec((select(vec![100u16, 102, 103, 199]), vec(field(), 0..2)), 0..3);
    let body = prop_oneof![
        content().prop_map(Body::Length),
        (vec(chunk(), 0..4), vec(field(), 0..3)).prop_map(|(chunks, trailers)| Body::Chunked(chunks, trailers)),
    ];
    let head = (select(vec![200u16, 205, 404, 500, 999]), "[ -~]{0,9}", vec(field(), 0..4));
    let empty = (select(vec![0u16, 204, 304]), select(vec!["", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"]));
    (request, interims, any::<bool>(), head, body, empty).prop_map(
        |((method, target, upload, expect), interims, empty_line_before, (status, reason, fields), body, (no_content, lie))| {
            let upload = if matches!(method, "PUT" | "POST") { upload } else { Upload::Nothing };
            let (status, body) = match (no_content, method) {
                (0, "HEAD") => (status, Body::None(lie)),
                (0, _) => (status, body),
                (no_content, _) => (no_content, Body::None(lie)),
            };
            let mut exchange =
                Exchange { method, target, upload, expect, interims, empty_line_before, status, reason, fields, body };
            exchange.expect &= exchange.has_upload();
            exchange
        },
    )
}

pub(crate) fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    (vec(exchange(), 1..5), prop::option::weighted(0.3, content())).prop_map(|(mut exchanges, until_close)| {
        let last = exchanges.last_mut().expect("at least one");
        if let (Some(content), false) = (until_close, matches!(last.body, Body::None(_))) {
            last.body = Body::UntilClose(content);
        }
        exchanges
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Interim(u16, Pairs),
    Response(u16, Vec<u8>, Pairs),
    Complete(Vec<u8>, Pairs),
}
