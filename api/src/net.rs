//! What all that speaks HTTP to others has in common.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use reqwest::ClientBuilder;

/// A client that follows nobody elsewhere. One for plain HTTP needs no certificates, which a small machine may not have, and asks no
/// proxy, which could read what is said.
pub(crate) fn client(scheme: &str) -> ClientBuilder {
    // Whoever was first in this process has chosen; any choice will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientBuilder::new()
        .user_agent(concat!("intendant/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none());
    match scheme {
        "https" => client,
        _ => client.tls_certs_only([]).no_proxy(),
    }
}

/// The last of what an error says, which is what went wrong; those before it say in the midst of what.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A text that is printed nowhere.
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}
