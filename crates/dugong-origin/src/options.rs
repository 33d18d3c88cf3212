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
    fn a_value_out_of_range_is_refused() {
        for query in ["delay=-1", "status=100", "status=1000", "chunk=0", "hint=yes", "expect=maybe", "length=5", "delay"] {
            assert!(Options::parse(query).is_err(), "{query}");
        }
    }
}
