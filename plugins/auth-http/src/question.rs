//! What the service is asked.

use serde_json::json;

/// One try to log in. What is not known is `null`.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The name that the client gave.
    pub user: String,
    /// None where a certificate must do.
    pub password: Option<String>,
    /// The answer to a challenge.
    pub one_time_code: Option<String>,
    /// Where the client is.
    pub client_address: String,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// None in the clear.
    pub tls_version: Option<String>,
    /// Of the verified certificate that the client has shown.
    pub certificate_subject: Option<String>,
    /// Of the same, in hexadecimal.
    pub certificate_sha256: Option<String>,
}

impl Question {
    /// The request's body: the same for the same question.
    pub fn json(&self) -> String {
        json!({
            "user": self.user,
            "password": self.password,
            "one-time-code": self.one_time_code,
            "client-address": self.client_address,
            "host": self.host,
            "tls-version": self.tls_version,
            "certificate-subject": self.certificate_subject,
            "certificate-sha256": self.certificate_sha256,
        })
        .to_string()
    }
}
