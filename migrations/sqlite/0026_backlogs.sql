-- Backlogs: of queues with a cap, how many tasks may be in line, and for how many there was room when somebody last looked. A
-- queue without a cap has no row.
create table intendant_backlog (
  queue text primary key check (length(queue) between 1 and 200),
  cap integer not null check (cap > 0),
  room integer not null,
  -- When somebody is to count again; and how many have begun to.
  due_at integer not null,
  count integer not null default 0
) strict, without rowid;

drop view intendant_queues;
create view intendant_queues as
  select q.name, strftime('%Y-%m-%dT%H:%M:%fZ', q.paused_at / 1e6, 'unixepoch') as paused_at, q.paused_by, q.pause_reason, q.slots,
         q.lent, q.rate_steps, q.rate_period_ms, q.rate_burst, q.partition_by, q.partition_limit, b.cap, b.room
    from intendant_queue q left join intendant_backlog b on b.queue = q.name;

-- A trigger is a text (0007). Messages begin with IN429: the same request may be taken later. What has been counted in the last ten
-- seconds is believed; where nobody counts, since neither a worker nor the library is there, the trigger does: there is one writer,
-- so it can write down what it finds.
pragma writable_schema = on;
update sqlite_schema
   set sql = replace(sql, 'insert into intendant_intent (id, kind,',
                     'update intendant_backlog
     set room = cap - (select count(*) from intendant_ready t where t.queue = intendant_backlog.queue),
         due_at = new.asked_at, count = count + 1
   where queue = new.queue and abs(new.asked_at - due_at) > 10000000
     and exists (select 1 from intendant_requested r where r.is_new);
  select raise(abort, ''IN429: the queue is full: it takes no more that wait; ask again later'')
    from intendant_requested r join intendant_backlog b on b.queue = new.queue
   where r.is_new and b.room <= 0;
  update intendant_backlog set room = room - 1
   where queue = new.queue and exists (select 1 from intendant_requested r where r.is_new);
  insert into intendant_intent (id, kind,')
 where type = 'trigger' and name = 'intendant_request_write';
pragma writable_schema = reset;
