//! The effect of an upload.

/// The effect on the file that is there already.
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
