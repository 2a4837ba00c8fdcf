//! The meaning of a plugin's failure.

/// The fate of an operation when a plugin cannot answer.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It is refused for now.
    #[default]
    Deny,
    /// It goes on as if the plugin were not there. Never for authentication.
    Allow,
}
