-- Limits, deadlines, alerts: what is too late is stopped by a limit, or told of by an alert; and kinds whose intents crash
-- their workers one after the other are tried more and more rarely. The comments of the other dialect hold here too.

-- Two more reasons to fail. As in 0007: the check is a text.
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, '''undo failed''', '''undo failed'', ''step limit'', ''intent limit''')
 where type = 'table' and name = 'intendant_outcome';
pragma writable_schema = reset;

alter table intendant_started add column again_at integer;
alter table intendant_step add column begun_at integer;

create table intendant_deadline (
  intent_id text not null,
  step text not null default '',
  generation integer not null default 1,
  due_at integer not null,
  primary key (intent_id, step, generation)
) strict, without rowid;
create index intendant_deadline_due on intendant_deadline (due_at);

create table intendant_alert (
  id text primary key,
  kind text not null check (kind in ('intent deadline', 'step deadline', 'slow step', 'queue too old', 'no worker',
                                     'worker gone', 'kind backs off')),
  about text not null,
  intent_id text,
  intent_kind text,
  step text,
  generation integer,
  queue text,
  worker text,
  host text,
  since integer not null,
  raised_at integer not null,
  resolved_at integer,
  text text not null,
  count integer not null
) strict, without rowid;
create unique index intendant_alert_open on intendant_alert (kind, about) where resolved_at is null;
create index intendant_alert_resolved on intendant_alert (resolved_at) where resolved_at is not null;

create view intendant_alerts as
  select id, kind, intent_id, intent_kind, step, queue, worker,
         strftime('%Y-%m-%dT%H:%M:%fZ', since / 1e6, 'unixepoch') as since,
         strftime('%Y-%m-%dT%H:%M:%fZ', raised_at / 1e6, 'unixepoch') as raised_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', resolved_at / 1e6, 'unixepoch') as resolved_at, text, count
    from intendant_alert;

create table intendant_untold (
  intent_id text primary key
) strict, without rowid;

create table intendant_notice (
  topic text primary key,
  kind text not null,
  intent_kind text,
  step text,
  queue text,
  worker text,
  newest_id text,
  text text not null,
  count integer not null,
  since integer not null,
  last_at integer not null,
  told_at integer,
  told_by text
) strict, without rowid;

create table intendant_turn (
  duty text primary key,
  session_id text,
  worker text,
  at integer not null
) strict, without rowid;
insert into intendant_turn (duty, at) values ('look', 0), ('tell', 0);

create table intendant_poison (
  kind text primary key,
  intents integer not null,
  intent_id text not null,
  crashed_at integer not null,
  until integer not null
) strict, without rowid;
