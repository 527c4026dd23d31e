//! Secrets are sealed where they are marked, open for whom they were sealed, and show nowhere.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::id::IntentId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Enrol {
    server: u64,
    password: Secret<String>,
    #[serde(default)]
    pin: Option<Secret<u32>>,
    #[serde(default)]
    tokens: BTreeMap<String, Secret<String>>,
}

fn enrol() -> Enrol {
    Enrol {
        server: 42,
        password: Secret::new("hunter22 \"quoted\"".to_owned()),
        pin: Some(Secret::new(987_654)),
        tokens: BTreeMap::from([("a/b".to_owned(), Secret::new("t0ken".to_owned()))]),
    }
}

fn keyring(first: u8) -> Keyring {
    Keyring::new(&[SecretKey::new([first; 32])], SecretKey::new([0; 32]))
}

fn id(of: u128) -> IntentId {
    IntentId(uuid::Uuid::from_u128(of))
}

fn sealed(account: Option<&str>, intent: IntentId) -> Payload {
    let input = encode_input(&enrol()).unwrap();
    assert!(has_plain(input.get()));
    keyring(1)
        .seal(&input, account, intent, &SystemClock)
        .unwrap()
}

#[test]
fn what_is_sealed_is_opened_for_the_same_intent_account_and_field_only() {
    let (account, intent) = (Some("acme"), id(7));
    let stored = sealed(account, intent);
    assert!(!has_plain(stored.get()));
    for shown in ["hunter22", "987654", "t0ken"] {
        assert!(!stored.get().contains(shown), "{}", stored.get());
    }
    let (opened, _) = keyring(1).open(&stored, account, intent).unwrap();
    assert_eq!(payload::decode::<Enrol>(&opened).unwrap(), enrol());
    let refused = |keys: Keyring, input: &Payload, account, intent| {
        keys.open(input, account, intent).unwrap_err().to_string()
    };
    let broken = "does not open";
    assert!(refused(keyring(1), &stored, Some("globex"), intent).contains(broken));
    assert!(refused(keyring(1), &stored, None, intent).contains(broken));
    assert!(refused(keyring(1), &stored, account, id(8)).contains(broken));
    let other = refused(keyring(2), &stored, account, intent);
    assert!(other.contains("which this worker was not given"), "{other}");
    // Moved to another field, it is of no use there.
    let mut moved: Value = serde_json::from_str(stored.get()).unwrap();
    moved["pin"] = moved["password"].clone();
    let moved = payload::encode(&moved).unwrap();
    assert!(refused(keyring(1), &moved, account, intent).contains("`/pin`"));
}

#[test]
fn one_changed_bit_is_found() {
    let stored = sealed(None, id(1));
    let text = stored.get().to_owned();
    let at = text.find("intendant:v1:").unwrap() + "intendant:v1:12345678:".len();
    for index in [at, at + 20, at + 30] {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = payload::parse(std::str::from_utf8(&changed).unwrap()).unwrap();
        let error = keyring(1).open(&changed, None, id(1)).unwrap_err();
        assert!(error.to_string().contains("does not open"), "{error}");
    }
}

#[test]
fn keys_are_changed_by_putting_the_new_one_first() {
    let stored = sealed(None, id(1));
    let keys = [SecretKey::new([2; 32]), SecretKey::new([1; 32])];
    let both = Keyring::new(&keys, SecretKey::new([0; 32]));
    assert!(both.open(&stored, None, id(1)).is_ok());
    let input = encode_input(&enrol()).unwrap();
    let fresh = both.seal(&input, None, id(1), &SystemClock).unwrap();
    assert!(fresh.get().contains(&keys[0].id()) && !fresh.get().contains(&keys[1].id()));
    assert_ne!(fresh, both.seal(&input, None, id(1), &SystemClock).unwrap());
}

#[test]
fn a_secret_does_not_show_itself() {
    let enrol = enrol();
    assert!(!format!("{enrol:?}").contains("hunter22"));
    let error = serde_json::to_string(&enrol).unwrap_err().to_string();
    assert!(
        error.contains("expose()") && !error.contains("hunter22"),
        "{error}"
    );
    let wrong = json!({"server": 1, "password": 424_242});
    let error = serde_json::from_value::<Enrol>(wrong)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "it is no alloc::string::String");
    // After somebody's Serialize has panicked, too.
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("no")
        }
    }
    let panicked = std::panic::catch_unwind(|| encode_input(&Panics));
    assert!(panicked.is_err() && serde_json::to_string(&enrol).is_err());
}

#[test]
fn an_input_as_json_is_marked_by_its_schema() {
    let schema = SchemaGenerator::default().into_root_schema_for::<Enrol>();
    let schema = schema.to_value();
    let long = "123456789012345678901234567890.10";
    let check = |input: &str, expected: &str| {
        assert_eq!(mark(&schema, input), expected);
        // Once more changes nothing.
        assert_eq!(mark(&schema, expected), expected);
    };
    check(
        &format!(r#"{{"server":{long},"password":"p","pin":null,"tokens":{{"a":"t"}}}}"#),
        &format!(
            r#"{{"password":{{"$secret":{{"plain":"p"}}}},"pin":null,"server":{long},"tokens":{{"a":{{"$secret":{{"plain":"t"}}}}}}}}"#
        ),
    );
    check(r#"[1,"x"]"#, r#"[1,"x"]"#);
    let none = json!({"type": "object"});
    assert_eq!(
        mark(&none, r#"{ "b": 1, "a": 2 }"#),
        r#"{ "b": 1, "a": 2 }"#
    );
}

#[test]
fn references_alternatives_and_lists_are_followed() {
    let schema = json!({
        "$defs": {
            "login": {"properties": {"password": {"type": "string", "writeOnly": true}}},
            "tree": {"properties": {"key": {"writeOnly": true}, "more": {"items": {"$ref": "#/$defs/tree"}}}},
        },
        "properties": {
            "by": {"oneOf": [{"type": "string"}, {"allOf": [{"$ref": "#/$defs/login"}]}]},
            "tree": {"$ref": "#/$defs/tree"},
            "pair": {"prefixItems": [{}, {"writeOnly": true}]},
        },
        "additionalProperties": {"writeOnly": true},
    });
    let secret = |value: &str| json!({"$secret": {"plain": value}});
    let check = |input: Value, expected: Value| {
        let marked: Value = serde_json::from_str(&mark(&schema, &input.to_string())).unwrap();
        assert_eq!(marked, expected);
    };
    check(
        json!({"by": {"password": "p", "user": "u"}}),
        json!({"by": {"password": secret("p"), "user": "u"}}),
    );
    check(
        json!({"tree": {"more": [{"key": "a", "more": [{"key": "b"}]}]}}),
        json!({"tree": {"more": [{"key": secret("a"), "more": [{"key": secret("b")}]}]}}),
    );
    check(
        json!({"pair": ["a", "b", "c"]}),
        json!({"pair": ["a", secret("b"), "c"]}),
    );
    check(json!({"other": "x"}), json!({"other": secret("x")}));
}

#[test]
fn what_steps_say_has_no_secrets_in_it() {
    let stored = sealed(None, id(1));
    let (_, mask) = keyring(1).open(&stored, None, id(1)).unwrap();
    let said = r#"login as root:hunter22 "quoted" with 987654 and t0ken: {"password": "hunter22 \"quoted\""}"#;
    assert_eq!(
        mask.over(said),
        r#"login as root:[secret] with [secret] and [secret]: {"password": "[secret]"}"#
    );
    assert_eq!(mask.over("nothing to hide"), "nothing to hide");
}

#[test]
fn inputs_are_compared_without_their_secrets() {
    let one = encode_input(&enrol()).unwrap();
    let two = Enrol {
        password: Secret::new("another".to_owned()),
        ..enrol()
    };
    let two = encode_input(&two).unwrap();
    let hash = |payload: &Payload| payload::canonical_hash(&["k"], payload);
    assert_eq!(hash(&one), hash(&two));
    let stored = sealed(None, id(1));
    assert!(payload::is_same(&stored, &two));
    let three = Enrol {
        server: 43,
        ..enrol()
    };
    assert_ne!(hash(&one), hash(&encode_input(&three).unwrap()));
}

#[test]
fn a_key_is_read_from_base64_and_hex() {
    let key = SecretKey::new([0xfb; 32]);
    let hex = "fb".repeat(32);
    let base64 = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
    for text in [
        hex.as_str(),
        base64,
        " +/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s\n",
    ] {
        assert_eq!(text.parse(), Ok(key.clone()));
    }
    let refused = |text: &str| text.parse::<SecretKey>().unwrap_err().to_string();
    assert!(refused("c2hvcnQ=").contains("another length"));
    assert!(refused("not a key!").contains("other characters"));
    assert!(!format!("{key:?}").contains("fbfb"));
}

#[test]
fn a_text_that_only_looks_like_a_mark_stays_as_it_is() {
    for text in [
        r#"{"note":"say \"$secret\" here"}"#,
        r#"{"$secret":"mine"}"#,
        r#"["\"$secret\""]"#,
    ] {
        let input = payload::parse(text).unwrap();
        let sealed = keyring(1).seal(&input, None, id(1), &SystemClock).unwrap();
        assert_eq!(sealed.get(), text);
        let (opened, _) = keyring(1).open(&sealed, None, id(1)).unwrap();
        assert_eq!(opened.get(), text);
    }
}

#[test]
fn a_secret_that_serde_merges_with_others_is_refused() {
    #[derive(Serialize)]
    struct Login {
        user: String,
    }
    #[derive(Serialize)]
    struct Flat {
        server: u64,
        #[serde(flatten)]
        login: Secret<Login>,
    }
    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Token(Secret<String>),
    }
    let flat = Flat {
        server: 1,
        login: Secret::new(Login {
            user: "root-user".to_owned(),
        }),
    };
    let tagged = Tagged::Token(Secret::new("t0ken".to_owned()));
    for input in [
        encode_input(&flat),
        encode_input(&tagged),
        encode_input(&[&flat]),
    ] {
        let input = input.unwrap();
        assert!(has_plain(input.get()));
        let error = keyring(1)
            .seal(&input, None, id(1), &SystemClock)
            .unwrap_err();
        assert!(error.to_string().contains("put it into a field"), "{error}");
    }
}

#[test]
fn what_somebody_has_written_has_no_marks_but_sealed_ones_that_stay() {
    let sealed = r#"{"password":{"$secret":"intendant:v1:00000000:AAAA"},"n":1}"#;
    assert!(is_given_well(sealed, Given::Amended) && !is_given_well(sealed, Given::New));
    for wrong in [
        r#"{"$secret":{"plain":{"account":"other"}}}"#,
        r#"{"a":[{"\u0024secret":{"plain":"x"}}]}"#,
        r#"{"a":{"$secret":"mine"}}"#,
    ] {
        assert!(
            !is_given_well(wrong, Given::New) && !is_given_well(wrong, Given::Amended),
            "{wrong}"
        );
    }
    assert!(is_given_well(r#"{"a":"$secret"}"#, Given::New));
}

#[test]
fn what_was_sealed_is_sealed_again_wherever_it_is_changed() {
    let stored = sealed(None, id(1));
    let places = sealed_at(stored.get());
    assert_eq!(
        places.iter().collect::<Vec<_>>(),
        ["/password", "/pin", "/tokens/a~1b"]
    );
    let changed = r#"{"password":"new","pin":null,"server":1.10,"tokens":{"a/b":"x","c":"y"}}"#;
    assert_eq!(
        marked_at(changed, &mut String::new(), &places),
        r#"{"password":{"$secret":{"plain":"new"}},"pin":null,"server":1.10,"tokens":{"a/b":{"$secret":{"plain":"x"}},"c":"y"}}"#
    );
    let part = json!({"password": {"more": 1}});
    let error = payload::merged(&stored, &part).unwrap_err().to_string();
    assert!(error.contains("a part of a secret"), "{error}");
}

#[test]
fn progress_stays_json_without_secrets() {
    let stored = sealed(None, id(1));
    let (_, mask) = keyring(1).open(&stored, None, id(1)).unwrap();
    let check = |json: Value, expected: Value| {
        let masked = mask.over_json(&json.to_string()).into_owned();
        assert_eq!(serde_json::from_str::<Value>(&masked).unwrap(), expected);
    };
    check(
        json!({"done": 19_876_541, "total": 3, "message": "with t0ken", "t0ken": [true, null]}),
        json!({"done": "[secret]", "total": 3, "message": "with [secret]", "[secret]": [true, null]}),
    );
    check(json!({"done": 3}), json!({"done": 3}));
}

#[test]
fn of_very_many_secrets_nothing_is_said_at_all() {
    let lines: Vec<String> = (0..50_000).map(|nth| format!("line {nth}")).collect();
    let input = json!({"text": {"$secret": {"plain": lines.join("\n")}}});
    let input = payload::encode(&input).unwrap();
    let sealed = keyring(1).seal(&input, None, id(1), &SystemClock).unwrap();
    let start = std::time::Instant::now();
    let (_, mask) = keyring(1).open(&sealed, None, id(1)).unwrap();
    assert_eq!(mask.over("anything"), "[secret]");
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn a_reference_that_leads_nowhere_hides_what_it_is_about() {
    let secret = json!({"properties": {"key": {"writeOnly": true}}});
    let schema = json!({
        "$defs": {"Creds<A>": secret},
        "properties": {
            "a": {"$ref": "#/$defs/Creds%3CA%3E"},
            "b": {"$ref": "#nowhere"},
        },
    });
    let marked = mark(&schema, r#"{"a":{"key":"x","n":1},"b":{"n":1}}"#);
    assert_eq!(
        marked,
        r#"{"a":{"key":{"$secret":{"plain":"x"}},"n":1},"b":{"$secret":{"plain":{"n":1}}}}"#
    );
}
