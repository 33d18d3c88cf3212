//! Conversions between this crate's types and those of the crate [`http`](::http), with the feature `http`.

use crate::method::Method;
use crate::status::Status;

impl From<&::http::Method> for Method {
    fn from(method: &::http::Method) -> Method {
        Method::new(method.as_str()).expect("every method of the crate http is a token")
    }
}

impl From<::http::Method> for Method {
    fn from(method: ::http::Method) -> Method {
        Method::from(&method)
    }
}

impl From<&Method> for ::http::Method {
    fn from(method: &Method) -> ::http::Method {
        ::http::Method::from_bytes(method.as_str().as_bytes()).expect("the crate http allows every token")
    }
}

impl From<Method> for ::http::Method {
    fn from(method: Method) -> ::http::Method {
        ::http::Method::from(&method)
    }
}

impl From<::http::StatusCode> for Status {
    fn from(status: ::http::StatusCode) -> Status {
        Status(status.as_u16())
    }
}

impl From<Status> for ::http::StatusCode {
    fn from(status: Status) -> ::http::StatusCode {
        ::http::StatusCode::from_u16(status.as_u16()).expect("the crate http allows 100 to 999")
    }
}

impl PartialEq<::http::StatusCode> for Status {
    fn eq(&self, other: &::http::StatusCode) -> bool {
        self.as_u16() == other.as_u16()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_survives_the_way_to_http_and_back() {
        for code in 100..=999 {
            let status = Status::new(code).unwrap();
            let theirs = ::http::StatusCode::from(status);
            assert_eq!((theirs.as_u16(), Status::from(theirs)), (code, status));
        }
    }

    #[test]
    fn every_byte_that_may_stand_in_a_method_may_do_so_on_both_sides() {
        for byte in 0..=127u8 {
            let name = char::from(byte).to_string();
            let (ours, theirs) = (Method::new(&name), ::http::Method::from_bytes(&[byte]));
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{name:?}");
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                assert_eq!((::http::Method::from(&ours), Method::from(&theirs)), (theirs.clone(), ours.clone()));
            }
        }
    }
}
