//! An authenticator that sends an HTTP request, for which it was granted no host.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "authenticator", path: "../../../wit" });

use exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use portcullis::plugin::types::Session;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

struct WantsHttp;
export!(WantsHttp);

impl Guest for WantsHttp {
    fn authenticate(_session: Session, _credentials: Credentials) -> Result<Outcome, Failure> {
        let request = OutgoingRequest::new(Fields::new());
        let set = request
            .set_scheme(Some(&Scheme::Http))
            .and_then(|()| request.set_authority(Some("127.0.0.1:9")));
        set.map_err(|()| Failure::Internal("not a URL".into()))?;
        match outgoing_handler::handle(request, None) {
            Ok(_) => Err(Failure::Internal("sent".into())),
            Err(error) => Err(Failure::Unavailable(error.to_string())),
        }
    }
}
