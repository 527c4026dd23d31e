//! The statements: one file each, the same name for both databases.

/// One statement in both dialects.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) name: &'static str,
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

macro_rules! statements {
    (both { $($both:ident = $file:literal,)* } postgres { $($pg:ident = $pg_file:literal,)* }) => {
        $(pub(super) static $both: Statement = Statement {
            name: $file,
            postgres: include_str!(concat!("../../sql/postgres/", $file, ".sql")),
            sqlite: include_str!(concat!("../../sql/sqlite/", $file, ".sql")),
        };)*
        // SQLite has one writer: it needs no locks within a transaction, and these are not called on it.
        $(pub(super) static $pg: Statement = Statement {
            name: $pg_file,
            postgres: include_str!(concat!("../../sql/postgres/", $pg_file, ".sql")),
            sqlite: "select 1",
        };)*
    };
}

statements! {
    both {
        ANCESTOR_LOAD = "ancestor_load",
        ATTEMPT_INSERT = "attempt_insert",
        ATTEMPT_LOAD = "attempt_load",
        BLOCKED_INSERT = "blocked_insert",
        BLOCKED_READY = "blocked_ready",
        CHILD_FAILED = "child_failed",
        CHILD_INSERT = "child_insert",
        CHILD_LOAD = "child_load",
        CLAIM_SUSPECT = "claim_suspect",
        CLAIM_TAKE = "claim_take",
        EVENT_INSERT = "event_insert",
        EVENT_TAKEOVER = "event_takeover",
        HISTORY_ACCOUNT = "history_account",
        HISTORY_ALL = "history_all",
        HISTORY_ATTEMPTS = "history_attempts",
        HISTORY_CHILDREN = "history_children",
        HISTORY_EVENTS = "history_events",
        HISTORY_LIVE = "history_live",
        HISTORY_ONE = "history_one",
        HISTORY_PLAN = "history_plan",
        HISTORY_RESOURCE = "history_resource",
        HISTORY_RESOURCES = "history_resources",
        HISTORY_STEPS = "history_steps",
        HISTORY_UNSUCCESSFUL = "history_unsuccessful",
        HOLDER_FREE = "holder_free",
        HOLDER_INSERT = "holder_insert",
        HOLDER_OF = "holder_of",
        INTENT_LOAD = "intent_load",
        INVARIANTS = "invariants",
        KEY_CLAIM = "key_claim",
        KEY_READ = "key_read",
        LEASE_BESIDE = "lease_beside",
        LEASE_CLEAR = "lease_clear",
        LEASE_DELETE = "lease_delete",
        LEASE_INSERT = "lease_insert",
        LEASE_READ = "lease_read",
        LEASE_REMOVE = "lease_remove",
        LINE_INSERT = "line_insert",
        LINE_LEAVE = "line_leave",
        LINE_OF = "line_of",
        ONCE_FENCE = "once_fence",
        ONCE_READ = "once_read",
        ONCE_RECORD = "once_record",
        OUTCOME_INSERT = "outcome_insert",
        OUTCOME_READ = "outcome_read",
        OUTCOME_WITHDRAW = "outcome_withdraw",
        PARKED_DUE = "parked_due",
        PARKED_INSERT = "parked_insert",
        PARKED_READY = "parked_ready",
        PEEK = "peek",
        PLACE_READ = "place_read",
        PLAN_INSERT = "plan_insert",
        PLAN_LOAD = "plan_load",
        READY_INSERT = "ready_insert",
        REQUEST_INSERT = "request_insert",
        SESSION_BEAT = "session_beat",
        SESSION_DELETE = "session_delete",
        SESSION_INSERT = "session_insert",
        SESSION_KINDS = "session_kinds",
        SESSION_KIND_INSERT = "session_kind_insert",
        SESSION_LEASES = "session_leases",
        SESSION_LEASES_DELETE = "session_leases_delete",
        SESSION_LIST = "session_list",
        SESSION_LOCK = "session_lock",
        SESSION_PLAN = "session_plan",
        STARTED_INSERT = "started_insert",
        STARTED_LOAD = "started_load",
        STEP_FORGIVE = "step_forgive",
        STEP_LOAD = "step_load",
        STEP_RECORD = "step_record",
        STEP_RUNNING = "step_running",
        TICK_FENCE = "tick_fence",
        TICK_LAST = "tick_last",
        UNFINISHED = "unfinished",
        WAIT_ARRIVE = "wait_arrive",
        WAIT_DELETE = "wait_delete",
        WAIT_OPEN = "wait_open",
        WAIT_READ = "wait_read",
        WAIT_REOPEN = "wait_reopen",
        WAIT_SET = "wait_set",
        WANT_LOAD = "want_load",
    }
    postgres {
        RESOURCE_LOCK = "resource_lock",
        RESOURCE_TRY = "resource_try",
        WAIT_LOCK = "wait_lock",
    }
}
