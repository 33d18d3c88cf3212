//! The checked command line of `dugong bench`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use dugong_http::{Config, Fields, Method, Origin, Request, RequestHead};

use super::loopback;
use crate::auth::Credentials;
use crate::connecting;
use crate::data;
use crate::fields::{fields, probe};
use crate::flags::BenchArgs;
use crate::urls;
use crate::usage::{Source, UsageError};

/// A measurement that is ready to run.
#[derive(Debug)]
pub(crate) struct BenchPlan {
    pub(crate) lanes: Vec<LanePlan>,
    /// The lane of each URL, in the order given.
    pub(crate) turns: Vec<usize>,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    /// How many requests are measured; `None` if `time` ends the run.
    pub(crate) requests: Option<u64>,
    pub(crate) time: Option<Duration>,
    /// Requests a second; `None` if each follows an answer.
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    /// How long a server may be silent.
    pub(crate) timeout: Option<Duration>,
    pub(crate) json: bool,
    /// Shows a line while it runs.
    pub(crate) live: bool,
}

/// An origin, and the requests to it.
#[derive(Debug)]
pub(crate) struct LanePlan {
    pub(crate) origin: Origin,
    pub(crate) config: Config,
    /// The fields of each request.
    fields: Fields,
    pub(crate) requests: Vec<Request>,
}

/// The length of a run without `--time` and `--requests`.
const TIME: Duration = Duration::from_secs(10);

impl BenchPlan {
    pub(crate) fn of(low: BenchArgs) -> Result<BenchPlan, UsageError> {
        let credentials = Credentials::of(&low.auth, &low.headers)?;
        let common = fields(&low.headers)?;
        let rate = low.rate.as_deref().map(rate).transpose()?;
        let seconds = |option, text: &Option<String>| match text {
            Some(text) => connecting::seconds(option, text),
            None => Ok(None),
        };
        let time = match (seconds("--time", &low.time)?, &low.time) {
            (None, Some(text)) => {
                return Err(UsageError::Value { option: "--time", text: text.clone(), expected: "a time above 0" });
            }
            (None, None) if low.requests.is_none() => Some(TIME),
            (time, _) => time,
        };
        let warm_up = seconds("--warm-up", &low.warm_up)?.unwrap_or_default();
        let timeout = connecting::timeout(&low.connect)?;
        let method = method(&low)?;
        if low.depth > 1 && !method.is_idempotent() {
            let why = "no request may follow one that is not idempotent before that is answered (RFC 9112 section 9.3.2)";
            let (option, with) = (format!("--depth {}", low.depth), format!("--method {method}"));
            return Err(UsageError::Together { option, with, why });
        }
        let targets = low.urls.iter().map(|url| urls::parse(url, &Source::Argument)).collect::<Result<Vec<_>, _>>()?;
        let content = low.data.as_deref().map(|text| data::content("--data", text)).transpose()?;
        let mut lanes: Vec<LanePlan> = Vec::new();
        let mut turns = Vec::new();
        for (origin, target) in targets {
            let lane = match lanes.iter().position(|lane| lane.origin == origin) {
                Some(lane) => lane,
                None => {
                    let mut fields = common.clone();
                    credentials.add_to(&mut fields, &origin);
                    probe(&method, content.as_deref(), &origin, &fields, &low.headers)?;
                    let config = connecting::config(Config::new(), &low.connect, &origin)?;
                    let config = loopback::pinned(config, &low.connect, &origin, low.yes_i_may)?;
                    let config = sized(config, low.connections);
                    lanes.push(LanePlan { config, origin, fields, requests: Vec::new() });
                    lanes.len() - 1
                }
            };
            let LanePlan { fields, requests, .. } = &mut lanes[lane];
            requests.push(request(&method, &target, fields, content.as_deref()));
            turns.push(lane);
        }
        if low.connections < lanes.len() {
            let (option, with) = (format!("--connections {}", low.connections), format!("URLs of {} origins", lanes.len()));
            return Err(UsageError::Together { option, with, why: "each origin needs a connection" });
        }
        let live = !low.no_progress && io::stderr().is_terminal();
        let (connections, depth, requests, json) = (low.connections, low.depth, low.requests, low.json);
        Ok(BenchPlan { lanes, turns, connections, depth, requests, time, rate, warm_up, timeout, json, live })
    }
}

/// Requests a second.
fn rate(text: &str) -> Result<f64, UsageError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = text.parse::<f64>().ok().filter(|rate| digits && *rate > 0.0);
    rate.ok_or_else(|| UsageError::Value { option: "--rate", text: text.to_owned(), expected: "a number above 0, such as 1000" })
}

fn method(low: &BenchArgs) -> Result<Method, UsageError> {
    match &low.method {
        Some(text) => data::method("--method", text),
        None => Ok(if low.data.is_some() { Method::POST } else { Method::GET }),
    }
}

fn request(method: &Method, target: &str, fields: &Fields, content: Option<&[u8]>) -> Request {
    let mut head = RequestHead::new(method.clone(), target).expect("`urls::parse` has checked the target");
    head.fields = fields.clone();
    let request = Request::from(head);
    match content {
        Some(content) => request.body(content.to_vec()),
        None => request,
    }
}

/// Keeps the memory of many connections small.
fn sized(config: Config, connections: usize) -> Config {
    if connections > 64 { config.receive_buffer(16 * 1024) } else { config }
}
