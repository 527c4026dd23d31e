//! What the pages need beside themselves: a style, a script, an icon. Their names have a hash of what they say, so that a browser
//! keeps them for ever and gets new ones after a deployment.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::http::parts::in_path;
use crate::http::problem::Problem;

/// Everything comes from here; nothing that stands in a page runs.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) struct Asset {
    pub(super) path: String,
    kind: &'static str,
    says: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "style",
        "css",
        "text/css; charset=utf-8",
        include_str!("style.css"),
    )
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "live",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("live.js"),
    )
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, says: &'static str) -> Self {
        let hash = Sha256::digest(says);
        let hash: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            path: format!("/assets/{name}-{hash}.{ending}"),
            kind,
            says,
        }
    }
}

pub(super) async fn asset(request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let name = in_path(&mut parts, &(), "name").await?;
    let mut all = [&*STYLE, &*SCRIPT, &*ICON].into_iter();
    let found = all.find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    let found = found.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let mut response = found.says.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(found.kind));
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, for_ever);
    Ok(response)
}
