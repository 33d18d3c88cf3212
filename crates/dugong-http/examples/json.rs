//! Sends JSON, and reads JSON.
//!
//!     cargo run --example json -- http://HOST:PORT/PATH

use dugong_http::{Config, Origin, Request};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: json http://HOST:PORT/PATH")?;
    let (origin, target) = Origin::of_url(&url)?;
    let mut connection = Config::new().connect_to(&origin)?;

    let note = json!({ "title": "milk", "done": false });
    let request = Request::post(target)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json")
        .body(note.to_string());
    connection.send_request(request)?;

    let response = connection.read_response()?;
    let status = response.status();
    let content = response.read_all()?; // complete, or an error
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&content)).into());
    }
    let answer: Value = serde_json::from_slice(&content)?;
    println!("{answer}");
    Ok(())
}
