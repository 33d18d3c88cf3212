//! The query of a URL, which chooses the form of the answer.

use std::time::Duration;

use crate::request::{Refusal, bad, digits};

/// Parsed parameters with their defaults. Unknown parameters are ignored, so you can use them to make URLs differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `delay=MS`.
    pub(crate) delay: Option<Duration>,
    /// `status=NNN`, 200 to 999.
    pub(crate) status: Option<u16>,
    /// `http10=1`.
    pub(crate) is_http10: bool,
    /// `connection=close` or `connection=keep-alive`.
    pub(crate) connection: Option<Persistence>,
    /// `hint=1`.
    pub(crate) hint: bool,
    /// `length=none`.
    pub(crate) no_length: bool,
    /// `digest=1` or `digest=0`.
    pub(crate) digest: Option<bool>,
    /// `seed=S`.
    pub(crate) seed: u64,
    /// `chunk=K`, 1 to 64 Mi.
    pub(crate) chunk: Option<u64>,
    /// `ext=1`.
    pub(crate) extension: bool,
    /// `trailers=1`.
    pub(crate) trailers: bool,
    /// `expect=...`.
    pub(crate) expect: ExpectPolicy,
    /// `early=1`.
    pub(crate) early: bool,
    /// `refuse=N`.
    pub(crate) refuse: Option<u64>,
    /// `etag=...`.
    pub(crate) etag: EtagForm,
    /// `ranges=...`.
    pub(crate) ranges: RangeHabit,
    /// `busy=K`.
    pub(crate) busy: Option<u64>,
    /// `busy-status=NNN`.
    pub(crate) busy_status: Option<u16>,
    /// `retry-after=TEXT`.
    pub(crate) retry_after: Option<String>,
    /// `to=URL`.
    pub(crate) to: Option<String>,
}

/// The entity tag of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EtagForm {
    #[default]
    Strong,
    Weak,
    None,
}

/// The reaction to a range request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RangeHabit {
    /// Send the range.
    #[default]
    Right,
    /// Send the whole document, as a server without ranges.
    Ignored,
    /// Name the range one byte further on.
    Shifted,
    /// Send only its first half, which RFC 9110 §15.3.7 allows.
    Half,
    /// Name a length of the document that is one too many.
    WrongTotal,
    /// Name no length of the document.
    UnknownTotal,
    /// Leave `Content-Range` out.
    Unnamed,
}

/// The `Connection` field of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    Close,
    KeepAlive,
}

/// The reaction to `Expect: 100-continue`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExpectPolicy {
    /// Send 100 (Continue), then read the content.
    #[default]
    Continue,
    /// Answer 403 and close, without reading the content.
    Forbid,
    /// Answer 417 and close, without reading the content.
    Fail,
    /// Send nothing and wait for the content.
    Silent,
}

impl Options {
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut options = Self::default();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "delay" => options.delay = Some(Duration::from_millis(number(value, 0, 3_600_000)?)),
                "status" => options.status = Some(number(value, 200, 999)? as u16),
                "http10" => options.is_http10 = switch(value)?,
                "hint" => options.hint = switch(value)?,
                "digest" => options.digest = Some(switch(value)?),
                "seed" => options.seed = number(value, 0, u64::MAX)?,
                "chunk" => options.chunk = Some(number(value, 1, 64 << 20)?),
                "ext" => options.extension = switch(value)?,
                "trailers" => options.trailers = switch(value)?,
                "early" => options.early = switch(value)?,
                "refuse" => options.refuse = Some(number(value, 0, u64::MAX)?),
                "busy" => options.busy = Some(number(value, 0, u64::MAX)?),
                "busy-status" => options.busy_status = Some(number(value, 200, 999)? as u16),
                "retry-after" => options.retry_after = Some(decoded(value)?),
                "to" => options.to = Some(decoded(value)?),
                "etag" => {
                    options.etag = match value {
                        "strong" => EtagForm::Strong,
                        "weak" => EtagForm::Weak,
                        "none" => EtagForm::None,
                        _ => return Err(bad("etag is none of strong, weak, none")),
                    }
                }
                "ranges" => {
                    options.ranges = match value {
                        "yes" => RangeHabit::Right,
                        "no" => RangeHabit::Ignored,
                        "shifted" => RangeHabit::Shifted,
                        "half" => RangeHabit::Half,
                        "wrong-total" => RangeHabit::WrongTotal,
                        "unknown-total" => RangeHabit::UnknownTotal,
                        "unnamed" => RangeHabit::Unnamed,
                        _ => return Err(bad("ranges is none of yes, no, shifted, half, wrong-total, unknown-total, unnamed")),
                    }
                }
                "connection" => {
                    options.connection = Some(match value {
                        "close" => Persistence::Close,
                        "keep-alive" => Persistence::KeepAlive,
                        _ => return Err(bad("connection is neither close nor keep-alive")),
                    });
                }
                "length" => {
                    options.no_length = match value {
                        "none" => true,
                        _ => return Err(bad("length is not none")),
                    }
                }
                "expect" => {
                    options.expect = match value {
                        "yes" => ExpectPolicy::Continue,
                        "no" => ExpectPolicy::Forbid,
                        "417" => ExpectPolicy::Fail,
                        "silent" => ExpectPolicy::Silent,
                        _ => return Err(bad("expect is none of yes, no, 417, silent")),
                    }
                }
                _ => {}
            }
        }
        Ok(options)
    }

    /// Tells if no option but the delay is set.
    pub(crate) fn are_plain(&self) -> bool {
        *self == Self { delay: self.delay, ..Self::default() }
    }
}

fn number(value: &str, least: u64, most: u64) -> Result<u64, Refusal> {
    digits(value.as_bytes())
        .filter(|number| (least..=most).contains(number))
        .ok_or(bad("a parameter is not a number in its range"))
}

/// Decodes `%HH`. The result stands in a field of an answer, so control characters are refused.
fn decoded(value: &str) -> Result<String, Refusal> {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                rest = rest.get(2..).unwrap_or_default();
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or(bad("a parameter has % without two hex digits"))?
            }
            byte => *byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains(|byte: char| byte.is_control()) => Ok(text),
        Ok(_) | Err(_) => Err(bad("a parameter has a control character, or is not UTF-8")),
    }
}

fn switch(value: &str) -> Result<bool, Refusal> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(bad("a switch is neither 0 nor 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_combine() {
        let options = Options::parse("delay=20&status=503&n=7&digest=1&connection=close").unwrap();
        assert_eq!(options.delay, Some(Duration::from_millis(20)));
        assert_eq!((options.status, options.digest, options.connection), (Some(503), Some(true), Some(Persistence::Close)));
        assert!(!options.are_plain());
        assert!(Options::parse("delay=20&n=7").unwrap().are_plain());
    }

    #[test]
    fn percent_codes_are_decoded() {
        let options = Options::parse("to=http%3A//a/b%3Fc%26d&retry-after=Thu,%2001%20Jan").unwrap();
        assert_eq!((options.to.as_deref(), options.retry_after.as_deref()), (Some("http://a/b?c&d"), Some("Thu, 01 Jan")));
        for query in ["to=%0d%0a", "to=%", "to=%4", "to=%zz", "to=%ff"] {
            assert!(Options::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused() {
        for query in [
            "ranges=maybe",
            "etag=1",
            "busy=few",
            "delay=-1",
            "status=100",
            "status=1000",
            "chunk=0",
            "hint=yes",
            "expect=maybe",
            "length=5",
            "delay",
        ] {
            assert!(Options::parse(query).is_err(), "{query}");
        }
    }
}
