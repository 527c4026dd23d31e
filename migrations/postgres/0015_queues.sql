-- Queues: what people have said of them. A queue of which nobody has said anything has no row, and costs nothing.

create table intendant.queue (
  name text primary key check (length(name) between 1 and 200),
  paused_at timestamptz,
  paused_by text,
  pause_reason text,
  -- How many steps of it may run at once, across all workers; and how many slots are lent to sessions.
  slots bigint check (slots > 0),
  lent bigint not null default 0 check (lent >= 0),
  check ((paused_at is null) = (paused_by is null))
);

-- Which slots of such a queue a session has. They go back with the session.
create table intendant.slot (
  queue text not null,
  session_id uuid not null references intendant.session,
  held bigint not null check (held >= 0),
  primary key (session_id, queue)
);

-- Counts what people have said of queues. Every tick reads it, and a worker that finds another number than it knows reads what
-- was said, before it claims.
create table intendant.control (
  id integer primary key check (id = 1),
  version bigint not null
);
insert into intendant.control values (1, 0);

alter table intendant.change drop constraint change_subject_check;
alter table intendant.change add constraint change_subject_check check (subject in ('schedule', 'queue'));

create view intendant.queues as
  select name, paused_at, paused_by, pause_reason, slots, lent from intendant.queue;
