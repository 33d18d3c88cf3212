//! The reader of the transcripts' Markdown.

use crate::bytes::unescape;
use crate::{After, Case, RequestContent, RequestStep, Step, events};

/// The number of a line, and its fault.
type Problem = (usize, String);

/// Reads the cases of one file.
///
/// # Errors
///
/// The first fault in the format.
pub(crate) fn parse(area: &str, file: &str, text: &str) -> Result<Vec<Case>, Problem> {
    let mut reader = Reader { area, file, titled: false, cases: Vec::new(), prose: false };
    let mut block: Option<Block<'_>> = None;
    for (index, line) in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate() {
        let number = index + 1;
        match block.take() {
            Some(open) if line == "```" => reader.add_block(open)?,
            Some(mut open) => {
                if line.starts_with("```") {
                    return Err((number, format!("a block begins in the block of line {}", open.line)));
                }
                open.body.push((number, line));
                block = Some(open);
            }
            None => block = reader.read_outside(number, line)?,
        }
    }
    if let Some(open) = block {
        return Err((open.line, "this block has no end".to_owned()));
    }
    reader.finish()
}

struct Reader<'t> {
    area: &'t str,
    file: &'t str,
    titled: bool,
    cases: Vec<Case>,
    /// Whether the last case has prose.
    prose: bool,
}

/// A fenced block: the line that opens it, its info string, its lines with their numbers.
struct Block<'t> {
    line: usize,
    info: &'t str,
    body: Vec<(usize, &'t str)>,
}

impl<'t> Reader<'t> {
    /// Reads a line outside of a block, which may open one.
    fn read_outside(&mut self, number: usize, line: &'t str) -> Result<Option<Block<'t>>, Problem> {
        if let Some(info) = line.strip_prefix("```") {
            return Ok(Some(Block { line: number, info, body: Vec::new() }));
        }
        if let Some(name) = line.strip_prefix("## ") {
            self.end_case()?;
            let (area, file) = (self.area.to_owned(), self.file.to_owned());
            self.cases.push(Case { area, file, line: number, name: name.trim().to_owned(), steps: Vec::new() });
            self.prose = false;
            return if self.titled { Ok(None) } else { Err((number, "a case before the title".to_owned())) };
        }
        if line.starts_with("# ") {
            let again = std::mem::replace(&mut self.titled, true);
            return if again { Err((number, "a second title".to_owned())) } else { Ok(None) };
        }
        if line.starts_with('#') {
            return Err((number, "a heading that is neither the title (#) nor a case (##)".to_owned()));
        }
        self.prose |= !line.trim().is_empty();
        Ok(None)
    }

    fn add_block(&mut self, block: Block<'t>) -> Result<(), Problem> {
        let line = block.line;
        let has_reason = self.prose;
        let Some(case) = self.cases.last_mut() else {
            return Err((line, "a block before the first case".to_owned()));
        };
        if !has_reason {
            return Err((line, "the case gives no reason in prose".to_owned()));
        }
        let step = block.into_step()?;
        let gone = case.steps.iter().any(|step| matches!(step, Step::Receive { then, .. } if *then != After::Open));
        if gone && matches!(step, Step::Receive { .. }) {
            return Err((line, "bytes come after the end of the connection".to_owned()));
        }
        let asked = case.steps.iter().any(|step| matches!(step, Step::Request(_)));
        if !asked && matches!(step, Step::Write(_) | Step::Finish(_)) {
            return Err((line, "content before a request".to_owned()));
        }
        case.steps.push(step);
        Ok(())
    }

    /// Completes the last case, if the file has one.
    fn end_case(&mut self) -> Result<(), Problem> {
        let Some(case) = self.cases.last_mut() else { return Ok(()) };
        if case.name.is_empty() {
            return Err((case.line, "the case has no name".to_owned()));
        }
        if !case.steps.iter().any(|step| matches!(step, Step::Events { .. } | Step::Sent(_))) {
            return Err((case.line, "the case checks nothing: no events and no sent block".to_owned()));
        }
        if !case.steps.iter().any(|step| matches!(step, Step::Request(_))) {
            let first = case.steps.iter().position(|step| matches!(step, Step::Receive { .. }));
            let first = first.ok_or_else(|| (case.line, "the case has no request and receives nothing".to_owned()))?;
            case.steps.insert(first, Step::Request(implicit_request()));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Case>, Problem> {
        self.end_case()?;
        if self.cases.is_empty() { Err((1, "there is no case in this file".to_owned())) } else { Ok(self.cases) }
    }
}

impl Block<'_> {
    fn into_step(self) -> Result<Step, Problem> {
        let mut words = self.info.split_ascii_whitespace();
        let language = words.next().unwrap_or_default();
        let flags: Vec<&str> = words.collect();
        let allowed: &[&str] = match language {
            "receive" => &["eof", "reset"],
            "events" => &["head"],
            "request" | "write" | "finish" | "sent" => &[],
            _ => return Err((self.line, format!("{language:?} is no kind of block"))),
        };
        if let Some(flag) = flags.iter().find(|flag| !allowed.contains(flag)) {
            return Err((self.line, format!("{flag:?} is no flag of {language}")));
        }
        if flags.len() > 1 {
            return Err((self.line, "more than one flag".to_owned()));
        }
        Ok(match language {
            "request" => Step::Request(self.request()?),
            "write" => Step::Write(self.bytes()?),
            "finish" => Step::Finish(self.trailers()?),
            "sent" => Step::Sent(self.bytes()?),
            "receive" => {
                let then = match flags.first() {
                    Some(&"eof") => After::Eof,
                    Some(_) => After::Reset,
                    None => After::Open,
                };
                Step::Receive { bytes: self.bytes()?, then }
            }
            _ => Step::Events { lines: self.events(!flags.is_empty())?, head: !flags.is_empty() },
        })
    }

    /// All lines as one run of bytes.
    fn bytes(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        for &(number, line) in &self.body {
            bytes.extend(unescape(line).map_err(|what| (number, what))?);
        }
        Ok(bytes)
    }

    fn events(&self, head: bool) -> Result<Vec<String>, Problem> {
        for &(number, line) in &self.body {
            events::check(line, head).map_err(|what| (number, what))?;
        }
        Ok(self.body.iter().map(|&(_, line)| line.to_owned()).collect())
    }

    fn request(&self) -> Result<RequestStep, Problem> {
        let Some((&(number, first), rest)) = self.body.split_first() else {
            return Err((self.line, "a request without its first line".to_owned()));
        };
        let (method, target) = first.split_once(' ').ok_or((number, "expected METHOD and target".to_owned()))?;
        let text = |text: &str| {
            let bytes = unescape(text).map_err(|what| (number, what))?;
            String::from_utf8(bytes).map_err(|_| (number, "method and target must be UTF-8".to_owned()))
        };
        let mut request = implicit_request();
        (request.method, request.target) = (text(method)?, text(target)?);
        let mut directives = false;
        for &(number, line) in rest {
            if let Some(directive) = line.strip_prefix('@') {
                directives = true;
                request.direct(directive).map_err(|what| (number, what))?;
            } else if directives {
                return Err((number, "a field line after a directive".to_owned()));
            } else {
                request.fields.push(field(line).map_err(|what| (number, what))?);
            }
        }
        Ok(request)
    }

    fn trailers(&self) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let read = |&(number, line): &(usize, &str)| {
            let (name, value) = field(line).map_err(|what| (number, what))?;
            let name = String::from_utf8(name).map_err(|_| (number, "a trailer name must be UTF-8".to_owned()))?;
            Ok((name, value))
        };
        self.body.iter().map(read).collect()
    }
}

impl RequestStep {
    /// Takes one directive, without its `@`.
    fn direct(&mut self, directive: &str) -> Result<(), String> {
        let content = match directive.split_once(' ') {
            None if directive == "expect" => {
                let again = std::mem::replace(&mut self.expect, true);
                return if again { Err("a second @expect".to_owned()) } else { Ok(()) };
            }
            None if directive == "chunked" => RequestContent::Chunked,
            Some(("length", digits)) if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                RequestContent::Length(digits.parse().map_err(|_| format!("{digits} does not fit into 64 bits"))?)
            }
            _ => return Err(format!("expected @length N, @chunked or @expect, but found @{directive}")),
        };
        if self.content != RequestContent::None {
            return Err("the content is announced twice".to_owned());
        }
        self.content = content;
        Ok(())
    }
}

/// The request of a case that has no request block.
fn implicit_request() -> RequestStep {
    RequestStep {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        fields: Vec::new(),
        content: RequestContent::None,
        expect: false,
    }
}

/// A field line of the client: name, colon, one optional space, value.
fn field(line: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (name, value) = line.split_once(':').ok_or("a field line without a colon")?;
    Ok((unescape(name)?, unescape(value.strip_prefix(' ').unwrap_or(value))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(blocks: &str) -> Case {
        let mut cases = parse("area", "file.md", &format!("# Title\n\n## Name\nReason.\n{blocks}")).unwrap();
        assert_eq!(cases.len(), 1);
        cases.remove(0)
    }

    fn problem(text: &str) -> Problem {
        parse("area", "file.md", text).expect_err(text)
    }

    #[test]
    fn a_case_knows_where_it_is() {
        let cases = parse(
            "area",
            "file.md",
            "# T\n\nProse.\n\n## First\nR.\n```receive\n```\n```events\n```\n## Second\nR.\n```receive\n```\n```events\n```\n",
        )
        .unwrap();
        let seen: Vec<_> = cases.iter().map(|case| (&*case.area, &*case.file, case.line, &*case.name)).collect();
        assert_eq!(seen, [("area", "file.md", 5, "First"), ("area", "file.md", 11, "Second")]);
    }

    #[test]
    fn line_breaks_in_bytes_are_ignored_and_blanks_kept() {
        let case = one("```receive eof\na\\r\\n\n  b \n\n\\s\n```\n```events\nend\n```\n");
        assert_eq!(case.steps[1], Step::Receive { bytes: b"a\r\n  b  ".to_vec(), then: After::Eof });
        assert_eq!(case.steps[2], Step::Events { lines: vec!["end".to_owned()], head: false });
    }

    #[test]
    fn a_file_with_crlf_reads_alike() {
        let case = one("```receive reset\r\nab\r\n```\r\n```events head\r\nend\r\n```\r\n");
        assert_eq!(case.steps[1], Step::Receive { bytes: b"ab".to_vec(), then: After::Reset });
        assert_eq!(case.steps[2], Step::Events { lines: vec!["end".to_owned()], head: true });
    }

    #[test]
    fn a_case_without_a_request_gets_one_before_its_first_bytes() {
        let case = one("```sent\n```\n```receive\n```\n```events\n```\n");
        assert_eq!(case.steps[0], Step::Sent(Vec::new()));
        assert_eq!(case.steps[1], Step::Request(implicit_request()));
    }

    #[test]
    fn a_case_with_a_late_request_gets_no_other() {
        let case = one("```receive\n```\n```request\nGET /\n```\n```events\n```\n");
        assert!(matches!(case.steps[..], [Step::Receive { .. }, Step::Request(_), Step::Events { .. }]));
    }

    #[test]
    fn a_request_is_read_with_its_escapes() {
        let case = one("```request\nP\\sT /a\\x20b c\nX: \\r\\n y: z\nY:  a\n:b\nZ:\n@length 12\n@expect\n```\n```sent\n```\n");
        let pairs: [(&[u8], &[u8]); 4] = [(b"X", b"\r\n y: z"), (b"Y", b" a"), (b"", b"b"), (b"Z", b"")];
        let fields = pairs.map(|(name, value)| (name.to_vec(), value.to_vec())).to_vec();
        let content = RequestContent::Length(12);
        let expected = RequestStep { method: "P T".into(), target: "/a b c".into(), fields, content, expect: true };
        assert_eq!(case.steps[0], Step::Request(expected));
    }

    #[test]
    fn finish_carries_trailers() {
        let case = one("```request\nPUT /\n@chunked\n```\n```write\na\\sb\n```\n```finish\nX: y\n```\n```sent\n```\n");
        assert_eq!(case.steps[1], Step::Write(b"a b".to_vec()));
        assert_eq!(case.steps[2], Step::Finish(vec![("X".to_owned(), b"y".to_vec())]));
    }

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let in_case = |blocks: &str| problem(&format!("# T\n## N\nR.\n{blocks}"));
        let cases = [
            (problem("# T\n"), 1, "no case"),
            (problem("## N\n"), 1, "before the title"),
            (problem("# T\n# U\n"), 2, "second title"),
            (problem("# T\n### N\n"), 2, "neither"),
            (problem("# T\n```sent\n```\n"), 2, "before the first case"),
            (problem("# T\n## N\n```sent\n```\n"), 3, "no reason"),
            (problem("# T\n## \nR.\n```request\nGET /\n```\n```sent\n```\n"), 2, "no name"),
            (in_case("```receive\n"), 4, "no end"),
            (in_case("```receive\n```sent\n"), 5, "begins in the block of line 4"),
            (in_case("```reveice\n```\n"), 4, "no kind of block"),
            (in_case("```receive head\n```\n"), 4, "no flag of receive"),
            (in_case("```receive eof reset\n```\n"), 4, "more than one flag"),
            (in_case("```receive\na\n\\q\n```\n"), 6, "unknown escape"),
            (in_case("```receive\n```\n"), 2, "checks nothing"),
            (in_case("```events\n```\n"), 2, "receives nothing"),
            (in_case("```receive eof\n```\n```receive\n```\n"), 6, "after the end"),
            (in_case("```write\n```\n"), 4, "before a request"),
            (in_case("```events\nend\nending\n```\n"), 6, "no event line"),
            (in_case("```request\n```\n"), 4, "first line"),
            (in_case("```request\nGET\n```\n"), 5, "METHOD"),
            (in_case("```request\nGET /\\xff\n```\n"), 5, "UTF-8"),
            (in_case("```request\nGET /\nX\n```\n"), 6, "without a colon"),
            (in_case("```request\nGET /\n@expect\nX: y\n```\n"), 7, "after a directive"),
            (in_case("```request\nGET /\n@expect\n@expect\n```\n"), 7, "second @expect"),
            (in_case("```request\nGET /\n@chunked\n@length 5\n```\n"), 7, "twice"),
            (in_case("```request\nGET /\n@length +5\n```\n"), 6, "@length N"),
            (in_case("```request\nGET /\n@length 18446744073709551616\n```\n"), 6, "64 bits"),
            (in_case("```request\nGET /\n@close\n```\n"), 6, "@close"),
            (in_case("```request\nPUT /\n```\n```finish\nX\n```\n"), 8, "without a colon"),
        ];
        for ((line, what), expected_line, expected) in cases {
            assert!(line == expected_line && what.contains(expected), "{expected_line} {expected}: {line} {what}");
        }
    }
}
