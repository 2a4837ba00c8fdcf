//! The level of the log.

use axum::{Extension, Json};

use super::{Actor, Deed, Refused, Wanted, done, messages::LogLevel};
use crate::observe;

pub(super) async fn level() -> Json<LogLevel> {
    let level = observe::level();
    Json(LogLevel { level })
}

pub(super) async fn set(
    Extension(actor): Extension<Actor>,
    Wanted(LogLevel { level }): Wanted<LogLevel>,
) -> Deed {
    observe::set_level(&level).map_err(Refused::wrong)?;
    tracing::warn!(by = %actor, level, "the log has another level, until the next reload");
    done(format!(
        "the log has the level {level}, until the next reload"
    ))
}
