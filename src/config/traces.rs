//! `[traces]`

use std::path::PathBuf;

use http::{Uri, uri::PathAndQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::{grants::Service, value};

/// `[traces]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Traces {
    /// The collector's URL, to which spans are sent by OTLP over HTTP: "http://127.0.0.1:4318". Without a
    /// path, `/v1/traces`. Unset: nowhere.
    #[schemars(extend("x-restart" = true))]
    pub endpoint: Option<String>,
    /// PEM file of authorities that are trusted besides the system's, where the endpoint is one of https.
    #[serde(with = "value::OptionalPath")]
    #[schemars(extend("x-restart" = true))]
    pub authorities: Option<PathBuf>,
    /// Percent of the sessions that are traced, each of them whole.
    #[default(100)]
    #[schemars(range(min = 1, max = 100), extend("x-restart" = true))]
    pub share: u64,
}

impl Traces {
    /// The collector's host and port, and the whole URL. None where no endpoint is named, or one that is
    /// no URL of http or https; a configuration that was checked has none of these.
    #[must_use]
    pub fn collector(&self) -> Option<(Service, Uri)> {
        let uri: Uri = self.endpoint.as_ref()?.parse().ok()?;
        let service = Service::of(&uri)?;
        let mut parts = uri.into_parts();
        if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
            parts.path_and_query = Some(PathAndQuery::from_static("/v1/traces"));
        }
        Some((service, Uri::from_parts(parts).ok()?))
    }
}
