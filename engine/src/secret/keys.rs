//! Keys: what secrets are sealed with.
//!
//! AES-256-GCM (NIST SP 800-38D). The key that is used is derived for each intent (HKDF-SHA-256, RFC 5869), so that random
//! nonces of 96 bits do not run out, however many intents one key sees.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::{Aead as _, Payload as Sealing};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hkdf::Hkdf;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::marks::{self, Mark, SEALED};
use super::mask::{Mask, Words};
use crate::clock::Clock;
use crate::id::IntentId;
use crate::payload::{self, Payload, PayloadError};

const NONCE: usize = 12;

/// A key of 256 bits that secrets are sealed with: 32 random bytes in base64 or hex, as `openssl rand -base64 32` prints
/// them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The key of these bytes, which have to be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// By which a sealed text says with which key it was sealed. It tells nothing of the key.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"intendant secret key id");
        hash.update(self.0);
        let hash = hash.finalize();
        hash.iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key has 32 bytes, in base64 or hex, as `openssl rand -base64 32` prints them; this has {0}"
)]
pub struct KeyError(&'static str);

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        use base64::alphabet::{STANDARD, URL_SAFE};
        use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
        let text = text.trim();
        let lenient =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let hex = || {
            let digits = (text.len() == 64).then_some(text)?;
            let pairs = (0..32).map(|at| digits.get(2 * at..2 * at + 2));
            pairs
                .map(|pair| u8::from_str_radix(pair?, 16).ok())
                .collect::<Option<Vec<u8>>>()
        };
        let base64 = || {
            let mut alphabets = [STANDARD, URL_SAFE].into_iter();
            alphabets.find_map(|it| GeneralPurpose::new(&it, lenient).decode(text).ok())
        };
        let bytes = hex().or_else(base64).ok_or(KeyError("other characters"))?;
        let bytes = bytes.try_into().map_err(|_| KeyError("another length"))?;
        Ok(Self(bytes))
    }
}

/// Why a secret does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "the secret at `{at}` of its input was sealed with the key `{key}`, which this worker was not given; resume it where \
         that key is"
    )]
    UnknownKey { at: String, key: String },
    #[error(
        "the secret at `{at}` of its input does not open: it was sealed for another intent, account or field, or it was changed"
    )]
    Broken { at: String },
    #[error("its input is no JSON any more with its secrets opened: {0}")]
    Payload(PayloadError),
}

/// The keys that a program has: the first seals, all of them open.
#[derive(Debug, Clone)]
pub(crate) struct Keyring(Vec<SecretKey>);

/// Whose secrets they are.
#[derive(Debug, Clone, Copy)]
struct Of<'a> {
    account: Option<&'a str>,
    intent: IntentId,
}

impl Keyring {
    /// The user's keys, and the database's own, which seals where there are none.
    pub(crate) fn new(keys: &[SecretKey], of_database: SecretKey) -> Self {
        Self(keys.iter().cloned().chain([of_database]).collect())
    }

    /// An input with all its secrets sealed.
    pub(crate) fn seal(
        &self,
        input: &Payload,
        account: Option<&str>,
        intent: IntentId,
        clock: &dyn Clock,
    ) -> Result<Payload, PayloadError> {
        let of = Of { account, intent };
        let mut each = |at: &str, mark: Mark<'_>| -> Result<String, PayloadError> {
            let sealed = match mark {
                Mark::Sealed(sealed) => sealed.to_owned(),
                Mark::Plain(value) => self
                    .sealed(value.get(), of, at, clock)
                    .ok_or_else(|| PayloadError::Unsealed { at: at.to_owned() })?,
                Mark::Loose(_) => return Err(PayloadError::LooseSecret { at: at.to_owned() }),
            };
            Ok(serde_json::json!({ "$secret": sealed }).to_string())
        };
        payload::parse(&marks::replaced(
            input.get(),
            &mut String::new(),
            &mut each,
        )?)
    }

    /// None if the cipher refuses, as it does for texts of 64 GiB.
    fn sealed(&self, plain: &str, of: Of<'_>, at: &str, clock: &dyn Clock) -> Option<String> {
        let key = self.0.first()?;
        // Of a random UUID all bits but these of the middle are random.
        let random = clock.secret_id().into_bytes();
        let mut nonce = [0; NONCE];
        nonce[..6].copy_from_slice(&random[..6]);
        nonce[6..].copy_from_slice(&random[9..15]);
        let aad = of.bound_to(at);
        let sealing = Sealing {
            msg: plain.as_bytes(),
            aad: &aad,
        };
        let text = cipher(key, of)?.encrypt(&nonce.into(), sealing).ok()?;
        let bytes = [nonce.as_slice(), &text].concat();
        Some(format!("{SEALED}{}:{}", key.id(), BASE64.encode(bytes)))
    }

    /// An input with all its secrets opened, and what to keep out of what its steps say.
    pub(crate) fn open(
        &self,
        input: &Payload,
        account: Option<&str>,
        intent: IntentId,
    ) -> Result<(Payload, Mask), OpenError> {
        let of = Of { account, intent };
        let mut words = Words::default();
        let mut each = |at: &str, mark: Mark<'_>| -> Result<String, OpenError> {
            let opened = match mark {
                Mark::Plain(value) => value.get().to_owned(),
                Mark::Loose(object) => return Ok(object.to_owned()),
                Mark::Sealed(sealed) => self.opened(sealed, of, at)?,
            };
            let value = serde_json::from_str::<Value>(&opened);
            words.add(&value.map_err(|_| OpenError::Broken { at: at.to_owned() })?);
            Ok(opened)
        };
        let opened = marks::replaced(input.get(), &mut String::new(), &mut each)?;
        let opened = payload::stored(&opened).map_err(OpenError::Payload)?;
        Ok((opened, Mask::of(words)))
    }

    /// An input with all its secrets as plain marks again, to be sealed for another intent.
    pub(crate) fn marked(
        &self,
        input: &Payload,
        account: Option<&str>,
        intent: IntentId,
    ) -> Result<Payload, OpenError> {
        let of = Of { account, intent };
        let mut each = |at: &str, mark: Mark<'_>| -> Result<String, OpenError> {
            let plain = match mark {
                Mark::Plain(value) => value.get().to_owned(),
                Mark::Loose(object) => return Ok(object.to_owned()),
                Mark::Sealed(sealed) => self.opened(sealed, of, at)?,
            };
            Ok(marks::plain(&plain))
        };
        let marked = marks::replaced(input.get(), &mut String::new(), &mut each)?;
        payload::stored(&marked).map_err(OpenError::Payload)
    }

    fn opened(&self, sealed: &str, of: Of<'_>, at: &str) -> Result<String, OpenError> {
        let broken = || OpenError::Broken { at: at.to_owned() };
        let text = sealed.strip_prefix(SEALED).ok_or_else(broken)?;
        let (id, text) = text.split_once(':').ok_or_else(broken)?;
        let bytes = BASE64.decode(text).map_err(|_| broken())?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let aad = of.bound_to(at);
        let mut known = self.0.iter().filter(|key| key.id() == id).peekable();
        if known.peek().is_none() {
            let (at, key) = (at.to_owned(), id.to_owned());
            return Err(OpenError::UnknownKey { at, key });
        }
        let open = |key: &SecretKey| {
            let sealing = Sealing {
                msg: text,
                aad: &aad,
            };
            cipher(key, of)?.decrypt(&(*nonce).into(), sealing).ok()
        };
        let opened = known.find_map(open).ok_or_else(broken)?;
        String::from_utf8(opened).map_err(|_| broken())
    }
}

/// None if no key of this length can be derived; of 8,160 bytes it could.
fn cipher(key: &SecretKey, of: Of<'_>) -> Option<Aes256Gcm> {
    let mut derived = [0; 32];
    let info = [b"intendant secret v1", of.intent.0.as_bytes().as_slice()];
    let kdf = Hkdf::<Sha256>::new(None, &key.0);
    kdf.expand_multi_info(&info, &mut derived).ok()?;
    Some(Aes256Gcm::new(&derived.into()))
}

impl Of<'_> {
    /// What a sealed text is bound to, beside its intent: lengths before texts, so that no two are written alike.
    fn bound_to(&self, at: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.push(u8::from(self.account.is_some()));
        for part in [self.account.unwrap_or_default(), at] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend(self.intent.0.as_bytes());
        bytes
    }
}
