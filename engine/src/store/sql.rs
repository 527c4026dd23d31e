//! The statements: one file each, the same name for both databases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "planted-bugs")]
use crate::planted::bugs::{self, Dialect};

/// One statement in both dialects.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

/// Where a statement for SQLite takes its set of rows as bound values: it is written for one row, and this comment stands
/// where more may follow. All its parameters are bare `?`: its scalars in order, then the row. Rows that are all null
/// only fill up the set.
///
/// A value that is bound costs a fraction of one that is taken out of a JSON text; the statements of the hot path do this
/// (docs/PERFORMANCE.md).
const MORE_ROWS: &str = "/* more rows */";

#[cfg(not(feature = "planted-bugs"))]
impl Statement {
    pub(super) fn postgres(&self) -> &'static str {
        self.postgres
    }

    pub(super) fn sqlite(&self) -> &'static str {
        self.sqlite
    }
}

#[cfg(feature = "planted-bugs")]
impl Statement {
    pub(super) fn postgres(&self) -> &'static str {
        bugs::text(self.name, Dialect::Postgres, self.postgres)
    }

    pub(super) fn sqlite(&self) -> &'static str {
        bugs::text(self.name, Dialect::Sqlite, self.sqlite)
    }
}

impl Statement {
    /// Whether this statement takes its rows as values on SQLite.
    pub(super) fn takes_values(&self) -> bool {
        self.sqlite().contains(MORE_ROWS)
    }

    /// The statement for SQLite with room for `rows` rows of `columns` columns.
    pub(super) fn with_rows(&self, rows: usize, columns: usize) -> Arc<str> {
        static KNOWN: Mutex<BTreeMap<(&str, usize), Arc<str>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let text = known.entry((self.name, rows)).or_insert_with(|| {
            let row = format!(", ({}?)", "?, ".repeat(columns - 1));
            let more = row.repeat(rows - 1);
            Arc::from(self.sqlite().replace(MORE_ROWS, &more))
        });
        Arc::clone(text)
    }
}

/// In place of a statement that this database does not need.
const NONE: &str = "select 1";

macro_rules! statements {
    (
        both { $($both:ident = $file:literal,)* }
        postgres { $($pg:ident = $pg_file:literal,)* }
        sqlite { $($lite:ident = $lite_file:literal,)* }
    ) => {
        $(pub(super) static $both: Statement = Statement {
            name: $file,
            postgres: include_str!(concat!("../../sql/postgres/", $file, ".sql")),
            sqlite: include_str!(concat!("../../sql/sqlite/", $file, ".sql")),
        };)*
        // SQLite has one writer, which needs no locks within a transaction, and no notifications.
        $(pub(super) static $pg: Statement = Statement {
            name: $pg_file,
            postgres: include_str!(concat!("../../sql/postgres/", $pg_file, ".sql")),
            sqlite: NONE,
        };)*
        // PostgreSQL does these within another statement, or in another way.
        $(pub(super) static $lite: Statement = Statement {
            name: $lite_file,
            postgres: NONE,
            sqlite: include_str!(concat!("../../sql/sqlite/", $lite_file, ".sql")),
        };)*
        static ALL: &[&Statement] = &[$(&$both,)* $(&$pg,)* $(&$lite,)*];
    };
}

statements! {
    both {
        ALERT_OPEN = "alert_open",
        ALERT_INSERT = "alert_insert",
        ALERT_UPDATE = "alert_update",
        ALERT_RESOLVE = "alert_resolve",
        ALERT_ENDED = "alert_ended",
        ALERT_PURGE = "alert_purge",
        ALERT_LIST = "alert_list",
        ANCESTOR_LOAD = "ancestor_load",
        ATTEMPT_INSERT = "attempt_insert",
        ATTEMPT_LOAD = "attempt_load",
        AWAITED_DELETE = "awaited_delete",
        AWAITED_INSERT = "awaited_insert",
        AWAITED_LOAD = "awaited_load",
        AWAITED_RENEW = "awaited_renew",
        BACKLOG_COUNT = "backlog_count",
        BACKLOG_DUE = "backlog_due",
        BACKLOG_READ = "backlog_read",
        BACKLOG_SEEN = "backlog_seen",
        BLOCKED_INSERT = "blocked_insert",
        BLOCKED_READY = "blocked_ready",
        BLOCKED_TAKE = "blocked_take",
        BODY_LOAD = "body_load",
        BRIEF_STEPS = "brief_steps",
        CANCEL_ANSWERED = "cancel_answered",
        CANCEL_ASKED = "cancel_asked",
        CANCEL_COUNT = "cancel_count",
        CANCEL_DELETE = "cancel_delete",
        CANCEL_INSERT = "cancel_insert",
        CANCEL_LOOK = "cancel_look",
        CANCEL_OF_SESSION = "cancel_of_session",
        CANCEL_ROUTED = "cancel_routed",
        CANCEL_SESSION = "cancel_session",
        CHANGE_INSERT = "change_insert",
        CHANGE_LIST = "change_list",
        CHECKPOINT_DELETE = "checkpoint_delete",
        CHECKPOINT_INSERT = "checkpoint_insert",
        CHECKPOINT_PROGRESS = "checkpoint_progress",
        CHECKPOINT_READ = "checkpoint_read",
        CHECKPOINT_STEP = "checkpoint_step",
        CHECKUP = "checkup",
        CHILD_FAILED = "child_failed",
        CHILD_INSERT = "child_insert",
        CHILD_LOAD = "child_load",
        CHILD_OF = "child_of",
        CIRCLE_FAMILY = "circle_family",
        CIRCLE_LOOK = "circle_look",
        CIRCLE_STOPPING = "circle_stopping",
        CLAIM_SUSPECT = "claim_suspect",
        CLAIM_TAKE = "claim_take",
        CLOCK_READ = "clock_read",
        COMING_LOAD = "coming_load",
        CONTROL_BUMP = "control_bump",
        DEADLINE_DELETE = "deadline_delete",
        DEADLINE_DUE = "deadline_due",
        DEADLINE_INSERT = "deadline_insert",
        DURATION_LOOK = "duration_look",
        ENDED_PAGE = "ended_page",
        EVENT_INSERT = "event_insert",
        EVENT_PAGE = "event_page",
        EVENT_SINCE = "event_since",
        EVENT_UNDONE_BY = "event_undone_by",
        EVENT_UNDO_OF = "event_undo_of",
        FAILURE_LOAD = "failure_load",
        FINISHED_KINDS = "finished_kinds",
        FIND_ACCOUNT = "find_account",
        FIND_ALL = "find_all",
        FIND_LABEL = "find_label",
        FIND_LIVE = "find_live",
        FIND_RESOURCE = "find_resource",
        FIND_TROUBLE = "find_trouble",
        FIND_UNSUCCESSFUL = "find_unsuccessful",
        FLOOR_ACCOUNT = "floor_account",
        FLOOR_ALL = "floor_all",
        FLOOR_LABEL = "floor_label",
        FLOOR_RESOURCE = "floor_resource",
        FLOOR_TROUBLE = "floor_trouble",
        FLOOR_UNSUCCESSFUL = "floor_unsuccessful",
        FAMILY_FAILED = "family_failed",
        GOAL_INSERT = "goal_insert",
        GOAL_REPLACE = "goal_replace",
        HISTORY_ATTEMPTS = "history_attempts",
        HISTORY_CHILDREN = "history_children",
        HISTORY_EVENTS = "history_events",
        HISTORY_LABELS = "history_labels",
        HISTORY_LOGS = "history_logs",
        HISTORY_MEASURES = "history_measures",
        HISTORY_PLAN = "history_plan",
        HISTORY_RECORDS = "history_records",
        HISTORY_RESOURCES = "history_resources",
        HISTORY_SIGNALS = "history_signals",
        HISTORY_STEPS = "history_steps",
        HOLDER_FREE = "holder_free",
        HOLDER_HAND_OVER = "holder_hand_over",
        HOLDER_INSERT = "holder_insert",
        HOLDER_OF = "holder_of",
        HOLDER_UNCOVER = "holder_uncover",
        INPUT_AMEND = "input_amend",
        INTENT_LOAD = "intent_load",
        INVARIANTS = "invariants",
        KEY_CLAIM = "key_claim",
        KEY_FORGET = "key_forget",
        KEY_JOIN = "key_join",
        KEY_PURGE = "key_purge",
        KEY_READ = "key_read",
        KIND_INSERT = "kind_insert",
        KIND_LIST = "kind_list",
        KIND_LOAD = "kind_load",
        LABEL_INSERT = "label_insert",
        LANE_LOOK = "lane_look",
        LEASE_BESIDE = "lease_beside",
        LEASE_CLEAR = "lease_clear",
        LEASE_DELETE = "lease_delete",
        LEASE_INSERT = "lease_insert",
        LEASE_READ = "lease_read",
        LEASE_VOID = "lease_void",
        LEASE_REMOVE = "lease_remove",
        LINE_AMONG = "line_among",
        LINE_FRONT = "line_front",
        LINE_INSERT = "line_insert",
        LINE_LEAVE = "line_leave",
        LINE_OF = "line_of",
        LINE_PLAIN = "line_plain",
        LINE_SHARING = "line_sharing",
        LINK_ASKED = "link_asked",
        LINK_INSERT = "link_insert",
        LINK_LOAD = "link_load",
        LINK_REOPEN = "link_reopen",
        LINK_UNASKED = "link_unasked",
        LOG_INSERT = "log_insert",
        LOSER_INSERT = "loser_insert",
        MEASURE_INSERT = "measure_insert",
        NOTICE_ADD = "notice_add",
        NOTICE_DUE = "notice_due",
        NOTICE_PURGE = "notice_purge",
        NOTICE_TOLD = "notice_told",
        NOTICE_TOPICS = "notice_topics",
        OCCURRENCE_CLOCK = "occurrence_clock",
        ONCE_FENCE = "once_fence",
        ONCE_READ = "once_read",
        ONCE_RECORD = "once_record",
        OUTCOME_CANCEL = "outcome_cancel",
        OUTCOME_DISCARD = "outcome_discard",
        OUTCOME_HOLD = "outcome_hold",
        OUTCOME_INSERT = "outcome_insert",
        OUTCOME_KEEP = "outcome_keep",
        OUTCOME_LOCK = "outcome_lock",
        OUTCOME_READ = "outcome_read",
        OUTCOME_WITHDRAW = "outcome_withdraw",
        OVERDUE_LOOK = "overdue_look",
        PARKED_DUE = "parked_due",
        PARKED_INSERT = "parked_insert",
        PARKED_READY = "parked_ready",
        PARKED_TAKE = "parked_take",
        PARTITION_CLEAR = "partition_clear",
        PARTITION_FILE = "partition_file",
        PARTITION_FORGET = "partition_forget",
        PARTITION_HELD = "partition_held",
        PARTITION_LEND = "partition_lend",
        PARTITION_NEXT = "partition_next",
        PARTITION_OF_SESSION = "partition_of_session",
        PARTITION_RETURN = "partition_return",
        PARTITION_TAKE = "partition_take",
        PEEK = "peek",
        POISON_CLEAR = "poison_clear",
        POISON_LOAD = "poison_load",
        POISON_READ = "poison_read",
        POISON_SET = "poison_set",
        PROBE_LOCK = "probe_lock",
        PROBE_TAKE = "probe_take",
        PART_ATTEMPTS = "part_attempts",
        PART_CHILDREN = "part_children",
        PART_LINKS = "part_links",
        PART_LOGS = "part_logs",
        PART_MEASURES = "part_measures",
        PART_SIGNALS = "part_signals",
        PART_STEPS = "part_steps",
        PLACE_READ = "place_read",
        PLAN_INSERT = "plan_insert",
        PLAN_LOAD = "plan_load",
        QUEUE_CAP = "queue_cap",
        QUEUE_KNOWN = "queue_known",
        QUEUE_LIMIT = "queue_limit",
        QUEUE_LIST = "queue_list",
        QUEUE_LOAD = "queue_load",
        QUEUE_LOOK = "queue_look",
        QUEUE_NAME = "queue_name",
        QUEUE_PARTITION = "queue_partition",
        QUEUE_PAUSE = "queue_pause",
        QUEUE_RATE = "queue_rate",
        QUEUE_RESUME = "queue_resume",
        QUEUE_UNCAP = "queue_uncap",
        RATE_TAKE = "rate_take",
        READY_INSERT = "ready_insert",
        READY_STARTED = "ready_started",
        READY_TAKE = "ready_take",
        REMOVAL_COUNT = "removal_count",
        REMOVAL_LIST = "removal_list",
        RESULT_INSERT = "result_insert",
        RETENTION_ADVANCE = "retention_advance",
        RETENTION_AGAIN = "retention_again",
        RETENTION_BEHIND = "retention_behind",
        RETENTION_BELOW = "retention_below",
        RETENTION_BLANK = "retention_blank",
        RETENTION_DECLARE = "retention_declare",
        RETENTION_DISTURB = "retention_disturb",
        RETENTION_FORGET = "retention_forget",
        RETENTION_KEEP = "retention_keep",
        RETENTION_KEPT_LIST = "retention_kept_list",
        RETENTION_LARGE_ADD = "retention_large_add",
        RETENTION_LARGE_FORGET = "retention_large_forget",
        RETENTION_LARGE_GOES = "retention_large_goes",
        RETENTION_LARGE_HOLD = "retention_large_hold",
        RETENTION_LARGE_LOOK = "retention_large_look",
        RETENTION_LARGE_OF = "retention_large_of",
        RETENTION_LARGE_NEXT = "retention_large_next",
        RETENTION_LIST = "retention_list",
        RETENTION_LOCK = "retention_lock",
        RETENTION_LOOKED = "retention_looked",
        RETENTION_REMOVE = "retention_remove",
        RETENTION_ROOTS = "retention_roots",
        RETENTION_SAY = "retention_say",
        RETENTION_STAYS = "retention_stays",
        RETENTION_TRIM_PAYLOADS = "retention_trim_payloads",
        RETENTION_TRIM_ROWS = "retention_trim_rows",
        RETENTION_TURN = "retention_turn",
        RETENTION_UNSAY = "retention_unsay",
        RETENTION_WHOLE = "retention_whole",
        RETENTION_WEIGH_PAYLOADS = "retention_weigh_payloads",
        RETENTION_WEIGH_ROWS = "retention_weigh_rows",
        ROUTED_DELETE = "routed_delete",
        ROUTED_INSERT = "routed_insert",
        ROUTED_LOAD = "routed_load",
        ROUTED_OF = "routed_of",
        RERUN_DONE = "rerun_done",
        REVISION_INSERT = "revision_insert",
        ROUTED_RECALL = "routed_recall",
        REQUEST_INSERT = "request_insert",
        RUNNING_LOOK = "running_look",
        SAVEPOINT_BACK = "savepoint_back",
        SAVEPOINT_KEEP = "savepoint_keep",
        SAVEPOINT_SET = "savepoint_set",
        SCHEDULE_ADVANCE = "schedule_advance",
        SCHEDULE_ASK = "schedule_ask",
        SCHEDULE_CHANGE = "schedule_change",
        SCHEDULE_INSERT = "schedule_insert",
        SCHEDULE_LIST = "schedule_list",
        SCHEDULE_LOAD = "schedule_load",
        SCHEDULE_OVERDUE = "schedule_overdue",
        SCHEDULE_PAUSE = "schedule_pause",
        SCHEDULE_REMOVE = "schedule_remove",
        SCHEDULE_RESUME = "schedule_resume",
        SECRET_KEY_READ = "secret_key_read",
        SESSION_BEAT = "session_beat",
        SESSION_DELETE = "session_delete",
        SESSION_INSERT = "session_insert",
        SESSION_KINDS = "session_kinds",
        SESSION_KIND_INSERT = "session_kind_insert",
        SESSION_LEASES = "session_leases",
        SESSION_LEASES_DELETE = "session_leases_delete",
        SESSION_LEAVE = "session_leave",
        SESSION_LIST = "session_list",
        SESSION_LOCK = "session_lock",
        SESSION_PLAN = "session_plan",
        SESSION_SCHEDULE_INSERT = "session_schedule_insert",
        SIGNAL_DELIVER = "signal_deliver",
        SIGNAL_FIND = "signal_find",
        SIGNAL_INSERT = "signal_insert",
        SIGNAL_REFUSE = "signal_refuse",
        SIGNAL_TAKE = "signal_take",
        SLOT_FORGET = "slot_forget",
        SLOT_LOAD = "slot_load",
        SLOT_LOCK = "slot_lock",
        SLOT_MOVE = "slot_move",
        SLOT_RETURN = "slot_return",
        STARTED_AGAIN = "started_again",
        STARTED_COPY = "started_copy",
        STARTED_INSERT = "started_insert",
        STARTED_LOAD = "started_load",
        STEP_AGAIN = "step_again",
        STEP_COPY = "step_copy",
        STEP_FINAL = "step_final",
        STEP_FORGIVE = "step_forgive",
        STEP_LOAD = "step_load",
        STEP_OF = "step_of",
        STEP_RENEW = "step_renew",
        STEP_RETRY = "step_retry",
        STEP_RECORD = "step_record",
        STEP_SKIP = "step_skip",
        STEP_RUNNING = "step_running",
        STEP_SENT = "step_sent",
        STEP_STOP = "step_stop",
        STEP_UNDONE = "step_undone",
        SUCCESS_INSERT = "success_insert",
        TICK_CARRY = "tick_carry",
        TICK_FENCE = "tick_fence",
        TICK_INSERT = "tick_insert",
        TICK_LAST = "tick_last",
        TICK_LIST = "tick_list",
        TICK_PURGE = "tick_purge",
        TOKEN_FIND = "token_find",
        TOKEN_INSERT = "token_insert",
        TOKEN_LIST = "token_list",
        TOKEN_REVOKE = "token_revoke",
        TURN_END = "turn_end",
        TURN_TAKE = "turn_take",
        UNFINISHED = "unfinished",
        UNTOLD_INSERT = "untold_insert",
        UNTOLD_LOAD = "untold_load",
        UNTOLD_TAKE = "untold_take",
        WAIT_ARRIVE = "wait_arrive",
        WAIT_COUNT = "wait_count",
        WAIT_DELETE = "wait_delete",
        WAIT_OPEN = "wait_open",
        WAIT_READ = "wait_read",
        WAIT_REOPEN = "wait_reopen",
        WAIT_SET = "wait_set",
        WANT_LOAD = "want_load",
        WANT_MISSING = "want_missing",
        WATCH_RECORDS = "watch_records",
        WHY_AHEAD = "why_ahead",
        WHY_AWAITED = "why_awaited",
        WHY_CHILDREN = "why_children",
        WHY_HELD = "why_held",
        WHY_HOLDERS = "why_holders",
        WHY_LINE = "why_line",
        WHY_OTHERS = "why_others",
        WHY_PLACE = "why_place",
        WHY_QUEUE = "why_queue",
        WHY_TURN = "why_turn",
        WHY_RULES = "why_rules",
        WHY_ROUTED = "why_routed",
        WHY_STEPS = "why_steps",
        WHY_WANTS = "why_wants",
        WHY_WORKERS = "why_workers",
        WORKER_KINDS = "worker_kinds",
        WORKER_LIST = "worker_list",
    }
    postgres {
        CANCEL_HOLD = "cancel_hold",
        CANCEL_RESOURCE = "cancel_resource",
        NUDGE = "nudge",
        NUDGE_CANCEL = "nudge_cancel",
        REQUEST_LEASE = "request_lease",
        RESOURCE_LOCK = "resource_lock",
        RESOURCE_TRY = "resource_try",
        SLOT_HOLD = "slot_hold",
        WAIT_LOCK = "wait_lock",
    }
    sqlite {
        CLAIM_TAKE_KIND = "claim_take_kind",
        DATA_VERSION = "data_version",
        REQUEST_PARKED = "request_parked",
        REQUEST_READY = "request_ready",
        REQUEST_RESOURCE = "request_resource",
    }
}

fn named(name: &str) -> Option<&'static Statement> {
    ALL.iter().find(|statement| statement.name == name).copied()
}

/// A statement for PostgreSQL by its name, as it is in this process; none if it is one that only SQLite needs.
pub(crate) fn text_of(name: &str) -> Option<&'static str> {
    let text = named(name).map(Statement::postgres);
    text.filter(|text| *text != NONE)
}

/// A statement by its name, on both databases, as it is in its file.
#[cfg(all(test, feature = "planted-bugs"))]
pub(crate) fn texts_of(name: &str) -> Option<(&'static str, &'static str)> {
    let statement = named(name)?;
    Some((statement.postgres, statement.sqlite))
}
