//! What an upload does.

/// What happens to what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadMode {
    /// Nothing is there.
    Create,
    /// A file is replaced, or resumed.
    Overwrite,
    /// A file grows.
    Append,
}
