-- Backlogs: of queues with a cap, how many tasks may be in line, and for how many there was room when somebody last looked.
--
-- Counted by a walk through the front of *ready*, by whoever requests or works, at most twice a second, and never in a request's
-- own transaction: nobody waits for anybody. Each process knows the table as it was half a second ago. A queue without a cap has
-- no row.
create table intendant.backlog (
  queue text primary key check (length(queue) between 1 and 200),
  cap bigint not null check (cap > 0),
  room bigint not null,
  -- When somebody is to count again; and how many have begun to.
  due_at timestamptz not null,
  count bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create or replace view intendant.queues as
  select q.name, q.paused_at, q.paused_by, q.pause_reason, q.slots, q.lent, q.rate_steps, q.rate_period_ms, q.rate_burst,
         q.partition_by, q.partition_limit, b.cap, b.room
    from intendant.queue q left join intendant.backlog b on b.queue = q.name;

-- Refuses what would go into a queue that is full. SQLSTATE IN429: the same request may be taken later. What has been counted in
-- the last ten seconds is believed; where nobody counts, since neither a worker nor the library is there, this does. It runs with the rights of the tables' owner, so that who may ask need not be let in to what waits.
create function intendant.check_backlog(queue text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  backlog record;
begin
  select * into backlog from intendant.backlog b where b.queue = check_backlog.queue;
  if not found then
    return;
  end if;
  if abs(extract(epoch from clock_timestamp() - backlog.due_at)) > 10 then
    select backlog.cap - count(*) into backlog.room
      from (select from intendant.ready r where r.queue = check_backlog.queue limit backlog.cap) waiting;
  end if;
  if backlog.room <= 0 then
    raise exception using errcode = 'IN429', message = format(
      'queue `%s` is full: it takes no more than %s that wait; ask again later', check_backlog.queue, backlog.cap);
  end if;
end $$;

-- As in 0005, and a full queue takes nothing.
-- Asks for an intent, within the caller's transaction. Takes no lock that a worker waits for; another request waits for it
-- only if it has the same key.
create or replace function intendant.request(
  kind text,
  account text default null,
  resources text[] default null,
  input jsonb default null,
  key text default null,
  run_at timestamptz default null,
  priority integer default null,
  requested_by text default null,
  correlation_id text default null,
  queue text default null
) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  body constant jsonb := coalesce(request.input, '{}');
  rank constant integer := coalesce(request.priority, 0);
  new_id constant uuid := intendant.ordered_id(clock_timestamp());
  names text[];
  modes text[];
  known record;
  lane text;
  is_locking boolean;
  asked_at timestamptz;
begin
  perform intendant.check_name('kind', request.kind);
  perform intendant.check_name(n.what, n.name)
     from (values ('queue', request.queue), ('account', request.account), ('key', request.key),
                  ('requester', request.requested_by), ('correlation id', request.correlation_id)) n (what, name)
    where n.name is not null;
  perform intendant.check_request(body, request.run_at, rank);
  select array_agg(r.resource), array_agg(r.mode) into names, modes
    from intendant.check_resources(request.resources) r;
  if request.key is not null then
    select intendant.claim_key(request.account, request.key, new_id, request.kind, body) as id into known;
    if known.id is not null then
      return known.id;
    end if;
  end if;
  select k.queue, k.release_on_failure into known from intendant.kind k where k.kind = request.kind;
  lane := coalesce(request.queue, known.queue, 'default');
  perform intendant.check_backlog(lane);
  is_locking := coalesce(modes && '{shared,exclusive}', false);
  asked_at := clock_timestamp();
  insert into intendant.intent as i (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                                     requested_at, run_at, requested_by, root_id, correlation_id)
  values (new_id, request.kind, lane, request.account, body,
          (extract(epoch from asked_at) * 1000000)::bigint - rank * 60000000::bigint, rank, is_locking,
          coalesce(known.release_on_failure, false), asked_at, request.run_at, request.requested_by, new_id,
          request.correlation_id);
  insert into intendant.resource (intent_id, resource, mode)
  select new_id, r.* from unnest(names, modes) r;
  if request.run_at > asked_at then
    insert into intendant.parked (intent_id, reason, due_at) values (new_id, 'start time', request.run_at);
  else
    insert into intendant.ready (queue, kind, position, intent_id, started, locks)
    values (lane, request.kind, (extract(epoch from asked_at) * 1000000)::bigint - rank * 60000000::bigint, new_id,
            false, is_locking);
  end if;
  -- As the library does: told when the transaction commits, once, and only if somebody could start it at once.
  if exists (select from intendant.session s where s.free > 0) then
    perform pg_notify('intendant', '');
  end if;
  return new_id;
end $$;
