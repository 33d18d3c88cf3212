//! Places a hundred orders, and sorts the outcomes: done, refused, not sent, unknown.
//!
//! A POST is not idempotent, so the session sends it again only if not a byte of it has left. If a connection is lost after that, you
//! alone can find out whether the server has acted: each order has a number that you can ask for.

use dugong_session::{Request, Sent, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = std::env::args().nth(1).ok_or("usage: failures http://HOST:PORT")?;
    let session = Session::new(&origin)?;
    let orders = (1..=100).map(|number| {
        let content = format!("{{\"order\": {number}}}");
        Request::post(format!("/count/{number}")).header("Content-Type", "application/json").body(content)
    });
    for outcome in session.run(orders) {
        let number = outcome.index + 1;
        match &outcome.result {
            Ok(reply) if reply.status().is_success() => println!("order {number}: done"),
            Ok(reply) => println!("order {number}: refused, {}", reply.status()),
            Err(failed) if failed.sent == Sent::No => println!("order {number}: not sent: {failed}"),
            Err(failed) => println!("order {number}: unknown: {failed}"),
        }
    }
    let stats = session.stats();
    println!("{} connections were opened", stats.opened);
    Ok(())
}
