//! Ids as users give them: in full, or the beginning of one.

use axum::http::StatusCode;
use desk::{Desk, IdOf};
use desk_api::{Filter, is_id, is_id_prefix};
use problem::Problem;

use crate::api::store_unavailable;

/// Digits of an id in an error.
const SHORT: usize = 12;

/// The error for an id that belongs to nothing (404), or that is the beginning of several (409).
pub async fn refused(desk: &Desk, of: IdOf, id: &str) -> Problem {
    let ids = match is_id_prefix(id) {
        true => desk.ids_beginning_with(of, id).await,
        false => Ok(Vec::new()),
    };
    match ids {
        Err(error) => store_unavailable(error),
        Ok(ids) if ids.len() > 1 => Problem::new(StatusCode::CONFLICT, ambiguous(of, id, &ids)),
        Ok(_) => Problem::new(StatusCode::NOT_FOUND, format!("no {} has the id {id:?}", name(of))),
    }
}

/// The filter with complete ids. A change must not apply to more than what the user has named.
///
/// # Errors
/// An id belongs to no dead letter, or is the beginning of several.
pub async fn complete(desk: &Desk, filter: &Filter) -> Result<Filter, Problem> {
    let mut ids = Vec::with_capacity(filter.ids.len());
    for id in &filter.ids {
        if is_id(id) {
            ids.push(id.clone());
            continue;
        }
        let found = desk.ids_beginning_with(IdOf::DeadLetter, id).await.map_err(store_unavailable)?;
        match <[String; 1]>::try_from(found) {
            Ok([found]) => ids.push(found),
            Err(_) => return Err(refused(desk, IdOf::DeadLetter, id).await),
        }
    }
    Ok(Filter { ids, ..filter.clone() })
}

fn name(of: IdOf) -> &'static str {
    match of {
        IdOf::DeadLetter => "dead letter",
        IdOf::Failure => "failure",
        IdOf::Replay => "replay",
    }
}

fn ambiguous(of: IdOf, id: &str, ids: &[String]) -> String {
    let some: Vec<&str> = ids.iter().map(|id| id.get(..SHORT).unwrap_or(id)).collect();
    format!("several {}s have ids that begin with {id:?}; give more digits: {}", name(of), some.join(", "))
}
