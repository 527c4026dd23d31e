-- Queues: what people have said of them. A queue of which nobody has said anything has no row, and costs nothing. The comments
-- of the other dialect hold here too.

create table intendant_queue (
  name text primary key check (length(name) between 1 and 200),
  paused_at integer,
  paused_by text,
  pause_reason text,
  slots integer check (slots > 0),
  lent integer not null default 0 check (lent >= 0),
  check ((paused_at is null) = (paused_by is null))
) strict, without rowid;

create table intendant_slot (
  queue text not null,
  session_id text not null references intendant_session,
  held integer not null check (held >= 0),
  primary key (session_id, queue)
) strict, without rowid;

create table intendant_control (
  id integer primary key check (id = 1),
  version integer not null
) strict;
insert into intendant_control values (1, 0);

-- As in 0007: the check is a text.
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, 'subject in (''schedule'')', 'subject in (''schedule'', ''queue'')')
 where type = 'table' and name = 'intendant_change';
pragma writable_schema = reset;

create view intendant_queues as
  select name, strftime('%Y-%m-%dT%H:%M:%fZ', paused_at / 1e6, 'unixepoch') as paused_at, paused_by, pause_reason, slots, lent
    from intendant_queue;
