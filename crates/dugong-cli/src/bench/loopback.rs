//! Makes sure that load goes to this machine only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Instant;

use dugong_http::driver::{Resolving, wait_any};
use dugong_http::{Config, Error, Origin};

use crate::connecting::{given_addresses, proxy_for};
use crate::flags::ConnectArgs;
use crate::usage::UsageError;

/// Returns `config` with the addresses to connect to for `origin`, so that no other ones are used later. Unless `anywhere`, all of
/// them must be of this machine, and those of the origin behind a proxy, too.
pub(crate) fn pinned(config: Config, low: &ConnectArgs, origin: &Origin, anywhere: bool) -> Result<Config, UsageError> {
    if low.unix_socket.is_some() {
        return Ok(config);
    }
    let proxy = proxy_for(low, origin)?;
    let target = (origin.host(), origin.port());
    let next = proxy.as_ref().map_or(target, |proxy| (proxy.host(), proxy.port()));
    if !anywhere && next != target {
        check(target.0, &addresses(low, target.0, target.1).unwrap_or_default())?;
    }
    let found = match addresses(low, next.0, next.1) {
        Ok(found) => found,
        // Connecting reports that.
        Err(_) if anywhere => return Ok(config),
        Err(_) => Vec::new(),
    };
    if !anywhere {
        check(next.0, &found)?;
    }
    Ok(config.addresses(next.0, next.1, found))
}

fn check(host: &str, addresses: &[SocketAddr]) -> Result<(), UsageError> {
    let remote = |address| Err(UsageError::Remote { host: host.to_owned(), address });
    match addresses.iter().find(|address| !is_local(address.ip())) {
        Some(address) => remote(Some(address.ip())),
        None if addresses.is_empty() => remote(None),
        None => Ok(()),
    }
}

fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Looks a host up, as connecting would.
fn addresses(low: &ConnectArgs, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    if let Some(given) = given_addresses(low, host, port) {
        return Ok(given.into_iter().map(|address| SocketAddr::new(address, port)).collect());
    }
    let mut resolving = Resolving::new(host, port, false);
    loop {
        if let Poll::Ready(found) = resolving.step(Instant::now())? {
            return Ok(found);
        }
        let mut set = dugong_http::driver::PollSet::default();
        resolving.waits(&mut set);
        match wait_any(&set) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(Error::Socket(error)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, low: &ConnectArgs) -> Option<String> {
        let (origin, _) = Origin::of_url(url).unwrap();
        pinned(Config::new(), low, &origin, false).err().map(|error| error.to_string())
    }

    #[test]
    fn only_addresses_of_this_machine_are_allowed() {
        let low = ConnectArgs { proxy: Some(String::new()), ..ConnectArgs::default() };
        for url in ["http://127.0.0.1/", "http://127.8.9.1:81/", "http://[::1]/", "http://[::ffff:127.0.0.1]/"] {
            assert_eq!(refusal(url, &low), None, "{url}");
        }
        for host in ["192.0.2.1", "0.0.0.0", "[2001:db8::1]"] {
            let said = refusal(&format!("http://{host}/"), &low).unwrap();
            assert!(said.ends_with("is not on this machine; if you may put load on it, add --yes-i-may"), "{said}");
        }
    }

    #[test]
    fn every_address_of_the_host_and_the_proxy_counts() {
        let with = |resolve: &[&str], proxy: &str| ConnectArgs {
            resolve: resolve.iter().map(ToString::to_string).collect(),
            proxy: Some(proxy.to_owned()),
            noproxy: Some(String::new()),
            ..ConnectArgs::default()
        };
        let url = "http://a.test:81/";
        assert_eq!(refusal(url, &with(&["A.test:81:127.0.0.1,::1"], "")), None);
        let two = with(&["a.test:81:127.0.0.1,192.0.2.1"], "");
        assert!(refusal(url, &two).unwrap().starts_with("a.test has the address 192.0.2.1, which is not on this machine"));
        // The proxy is on this machine and its origin is not, then the other way round.
        let behind = with(&["a.test:81:192.0.2.1"], "http://127.0.0.1:3128");
        assert!(refusal(url, &behind).unwrap().starts_with("a.test has the address 192.0.2.1"));
        let remote = with(&["a.test:81:127.0.0.1"], "http://192.0.2.7:3128");
        assert!(refusal(url, &remote).unwrap().starts_with("192.0.2.7 is not on this machine"));
        assert_eq!(refusal(url, &with(&["a.test:81:127.0.0.1"], "http://127.0.0.1:3128")), None);
    }
}
