//! What all that speaks HTTP to others has in common.

/// Has TLS use ring, unless this process has chosen something else.
pub(crate) fn tls() {
    // Whoever was first has chosen; any choice will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The last of what an error says, which is what went wrong; those before it say in the midst of what.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
