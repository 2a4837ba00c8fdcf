//! How safe a file is when the client hears of it.

/// The data that must be on the disk before 226.
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
pub enum Durability {
    /// Nothing: the operating system writes when it likes.
    None,
    /// The file's content.
    File,
    /// The content, and the directory entry.
    #[default]
    FileAndDirectory,
}
