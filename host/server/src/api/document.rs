//! `/openapi.json`: the OpenAPI document.

use std::sync::Arc;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use desk_api::BASE_PATH;
use problem::Problem;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, Ref,
    ResponseBuilder, SecurityRequirement, ServerBuilder, Type,
};
use utoipa_axum::router::OpenApiRouter;

use super::query::Query;
use crate::Status;

/// The name of the security scheme.
const TOKEN: &str = "token";
/// The name of the schema of errors.
const PROBLEM: &str = "Problem";

/// The beginning of the document: the parts that all routes share.
pub fn begin() -> OpenApiRouter<Status> {
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    let status = ObjectBuilder::new().schema_type(Type::Integer).build();
    let problem = ["type", "title", "detail"]
        .into_iter()
        .fold(ObjectBuilder::new(), |problem, name| problem.property(name, text()).required(name));
    let problem = problem.property("status", status).required("status").description(Some("RFC 9457"));
    let components = ComponentsBuilder::new()
        .security_scheme(TOKEN, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
        .schema(PROBLEM, problem);
    let info = InfoBuilder::new().title("host").version(env!("CARGO_PKG_VERSION")).description(Some(
        "Dead letters, failures, replays and trials. Timestamps are milliseconds since the Unix epoch. The request \
         header Host-User names the user for the audit log.",
    ));
    let document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url(BASE_PATH).build()]))
        .components(Some(components.build()))
        // The token is required if one is configured.
        .security(Some([SecurityRequirement::new(TOKEN, [""; 0]), SecurityRequirement::default()]));
    OpenApiRouter::with_openapi(document.build())
}

/// Serves the document.
pub fn router(mut document: OpenApi) -> Router<Status> {
    document.paths.paths.values_mut().for_each(add_problem);
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    Router::new().route("/openapi.json", get(move |query| async move { show(query, &text) }))
}

fn show(RawQuery(query): RawQuery, document: &str) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[])?;
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([json], document.to_owned()).into_response())
}

/// Adds the error response, which every operation has.
fn add_problem(item: &mut PathItem) {
    let operations = [&mut item.get, &mut item.post, &mut item.patch];
    for operation in operations.into_iter().flatten() {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
        let problem = ResponseBuilder::new()
            .description("An error (RFC 9457)")
            .content("application/problem+json", content);
        operation.responses.responses.insert("default".to_owned(), problem.build().into());
    }
}
