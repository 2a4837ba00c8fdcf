//! `[audit]`

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[audit]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Audit {
    /// The file that tells all that happens, a JSON object a line; relative to `log/` in the state
    /// directory. Opened anew by a reload. Unset: none.
    #[serde(with = "value::OptionalPath")]
    #[schemars(extend("x-restart" = true))]
    pub file: Option<PathBuf>,
    /// The same of transfers alone, in the format of wu-ftpd's xferlog(5).
    #[serde(with = "value::OptionalPath")]
    #[schemars(extend("x-restart" = true))]
    pub xferlog: Option<PathBuf>,
}
