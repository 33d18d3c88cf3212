//! The facts of a response's head on which the plan depends.

use std::time::{Duration, SystemTime};

use dugong_http::driver::decimal;
use dugong_http::{Fields, ResponseHead};

use crate::plan::Head;

/// Reads the facts. `persists` says whether the connection continues after this response, `length` is the length of its content as
/// its framing tells it, and `now` is called only for a `Retry-After` with a date.
///
/// It runs for each response, so it allocates nothing, and looks for `Retry-After` only in responses that can have one.
pub(crate) fn of(head: &ResponseHead, persists: bool, length: Option<u64>, now: impl FnOnce() -> SystemTime) -> Head {
    let status = head.status().as_u16();
    let fields = head.fields();
    // RFC 9110 §10.2.3 defines it for 503 and redirects, RFC 6585 §4 for 429; others use it, too.
    let retry_after = if status >= 300 { retry_after(fields, now) } else { None };
    Head { status, persists, keep_alive_max: keep_alive_max(fields), retry_after, length }
}

/// The delay that `Retry-After` asks for (RFC 9110 §10.2.3): seconds, or the time from now to a date. A date in the past is no delay.
/// `None` if the field is missing, malformed, or contradicts itself.
fn retry_after(fields: &Fields, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let mut values = fields.get_all_bytes("Retry-After");
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    if value.iter().all(u8::is_ascii_digit) {
        return digits(value).map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(now()).unwrap_or_default())
}

/// The number of further requests that `Keep-Alive: max=` allows (RFC 2068 §19.7.1.1). Numbers beyond 32 bits are no limit.
fn keep_alive_max(fields: &Fields) -> Option<u32> {
    let parameters = fields.get_all_bytes("Keep-Alive").flat_map(|value| value.split(|&byte| byte == b','));
    let mut numbers = parameters.filter_map(|parameter| {
        let parameter = parameter.trim_ascii();
        let (name, number) = parameter.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"max=").then(|| digits(number)).flatten()
    });
    numbers.next().and_then(|number| u32::try_from(number).ok())
}

/// Reads digits, and nothing but digits. A number beyond 64 bits becomes the largest one.
fn digits(text: &[u8]) -> Option<u64> {
    let is_large = || text.len() > 19 && text.iter().all(u8::is_ascii_digit);
    decimal(text).or_else(|| is_large().then_some(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name, value).unwrap();
        }
        fields
    }

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const NOW: Duration = Duration::from_secs(784_111_777);

    fn delay(value: &str) -> Option<Duration> {
        retry_after(&fields(&[("Retry-After", value)]), || SystemTime::UNIX_EPOCH + NOW)
    }

    #[test]
    fn retry_after_is_seconds_or_the_time_to_a_date() {
        for (value, seconds) in [
            ("0", 0),
            ("120", 120),
            ("99999999999999999999999", u64::MAX),
            ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
            ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
            ("Sun Nov  6 08:51:37 1994", 120),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Fri, 31 Dec 1993 23:59:59 GMT", 0),
        ] {
            assert_eq!(delay(value), Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[test]
    fn a_malformed_retry_after_is_ignored() {
        for value in ["", "soon", "-1", "+1", "1.5", "1 s", "0x10", "Sun, 99 Nov 1994 08:51:37 GMT", "n\u{e4}chstes Jahr"] {
            assert_eq!(delay(value), None, "{value}");
        }
        let two = fields(&[("Retry-After", "1"), ("retry-after", "100")]);
        assert_eq!(retry_after(&two, || unreachable!("no date")), None);
        assert_eq!(retry_after(&fields(&[]), || unreachable!("no date")), None);
    }

    #[test]
    fn keep_alive_tells_how_many_requests_may_follow() {
        for (value, max) in [
            ("timeout=5, max=100", Some(100)),
            ("max=0", Some(0)),
            ("MAX=7,timeout=1", Some(7)),
            ("timeout=5", None),
            ("max", None),
            ("max=", None),
            ("max=-1", None),
            ("max=1x", None),
            ("maximum=3", None),
            ("max=99999999999", None),
            ("", None),
        ] {
            assert_eq!(keep_alive_max(&fields(&[("Keep-Alive", value)])), max, "{value}");
        }
        assert_eq!(keep_alive_max(&fields(&[("keep-alive", "timeout=1"), ("Keep-Alive", "max=3")])), Some(3));
    }
}
