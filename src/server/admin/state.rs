//! The values that plugins keep.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{
    Actor, Deed, Query, Refused, Server, done,
    messages::{Forget, KeptState, States},
};

pub(super) async fn list(State(running): Server) -> Result<Json<States>, Refused> {
    let states = running.resources.host().states().await?.into_iter();
    let plugins = states.map(|(plugin, kept)| KeptState {
        plugin,
        keys: kept.keys,
        bytes: kept.bytes,
        limit: kept.limit,
        refused: kept.refused,
        gave_way: kept.gave_way,
    });
    Ok(Json(States {
        plugins: plugins.collect(),
    }))
}

pub(super) async fn clear(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Path(plugin): Path<String>,
    Query(Forget { key }): Query<Forget>,
) -> Deed {
    let host = running.resources.host();
    let Some(keys) = host.clear_state(&plugin, key.as_deref()).await? else {
        return Err(Refused::not_found(format!("there is no plugin {plugin:?}")));
    };
    tracing::info!(plugin, keys, by = %actor, "state is cleared");
    match (key, keys) {
        (Some(key), 0) => {
            let text = format!("{plugin} keeps nothing under {key:?}");
            Err(Refused::not_found(text))
        }
        (_, 1) => done(format!("cleared: 1 key of {plugin}")),
        (_, keys) => done(format!("cleared: {keys} keys of {plugin}")),
    }
}
