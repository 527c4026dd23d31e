-- Requests from plain SQL, in any language: `intendant.request(…)`, described in docs/SQL.md.
--
-- It writes the rows that the library writes (`request_insert`) and refuses what the library refuses (limits.rs,
-- intent.rs, payload.rs), in the same words. SQLSTATE IN400: the request cannot be kept as it is; IN409: its key was used
-- for another request. All of it runs with the caller's rights and with a search path of its own.

-- What the code of a kind says of it and a request has to know: written by every worker that begins, kept when it ends,
-- so that a request finds it while no worker is running.
create table intendant.kind (
  kind text primary key check (length(kind) between 1 and 200),
  queue text not null check (length(queue) between 1 and 200),
  release_on_failure boolean not null
);
insert into intendant.kind (kind, queue, release_on_failure)
select kind, max(queue), false from intendant.session_kind group by kind;

-- A UUIDv7 with the time in microseconds: the twelve bits behind the milliseconds are their fraction (RFC 9562, 6.2,
-- method 3), so that ids of one session sort by the order of their requests.
create function intendant.ordered_id(at timestamptz) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  us constant bigint := extract(epoch from at) * 1000000;
  fraction constant integer := (us % 1000) * 4096 / 1000;
  id bytea := overlay(uuid_send(gen_random_uuid()) placing substring(int8send(us / 1000) from 3) from 1);
begin
  id := set_byte(id, 6, 112 + (fraction >> 8));
  return encode(set_byte(id, 7, fraction & 255), 'hex')::uuid;
end $$;

-- Refuses a name that cannot stand in an index and on a screen.
create function intendant.check_name(what text, name text, most integer default 200) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  wrong constant text := case
    when name is null then format('the name of the %s is null', what)
    when name = '' then format('the name of the %s is empty', what)
    when length(name) > most then
      format('the name of the %s has %s characters, the limit is %s: `%s…`', what, length(name), most, left(name, 20))
    when name ~ '[\u0001-\u001f\u007f-\u009f]' then
      format('the name of the %s has a control character: %s', what, to_json(name))
  end;
begin
  if wrong is not null then
    raise exception using errcode = 'IN400', message = wrong;
  end if;
end $$;

-- Checks resources, each written `mode:type:id`. One that is named twice keeps the stronger use.
create function intendant.check_resources(resources text[]) returns table (resource text, mode text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  modes constant text[] := '{touched,shared,exclusive}';
  entry text;
  name text;
  number bigint;
begin
  foreach entry in array coalesce(resources, '{}') loop
    if coalesce(entry, '') !~ '^(touched|shared|exclusive):' then
      raise exception using errcode = 'IN400', message = format(
        'the resource %s does not say how it is used: expected `touched:type:id`, `shared:type:id` or '
        '`exclusive:type:id`', coalesce(to_json(entry)::text, 'null'));
    end if;
    name := substr(entry, strpos(entry, ':') + 1);
    perform intendant.check_name('resource', name, 400);
    if strpos(name, ':') not between 2 and length(name) - 1 then
      raise exception using errcode = 'IN400',
        message = format('the resource %s is not of the form `type:id`', to_json(name));
    end if;
  end loop;
  return query
    select substr(e, strpos(e, ':') + 1), modes[max(array_position(modes, split_part(e, ':', 1)))]
      from unnest(resources) e group by 1 order by 1;
  get diagnostics number = row_count;
  if number > 100 then
    raise exception using errcode = 'IN400',
      message = format('the number of resources is %s, the limit is 100', number);
  end if;
end $$;

-- Refuses everything else that the library refuses.
create function intendant.check_request(input jsonb, run_at timestamptz, priority integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  bytes constant integer := octet_length(input::text);
  wrong constant text := case
    when priority not between -1000 and 1000 then
      format('the priority is %s, the limit is -1000 to 1000', priority)
    when not isfinite(run_at) or run_at > clock_timestamp() + 3650 * interval '24 hours' then
      format('the start time is %s, the limit is ten years from now', run_at)
    when bytes > 1048576 then
      format('the input: the payload has %s bytes, the limit is 1048576; keep big things elsewhere and pass their name',
             bytes)
    -- Two brackets a level: what is short is not deep.
    when bytes > 200 and jsonb_path_exists(
           input, 'strict $.**{100 to last} ? (@.type() == "object" || @.type() == "array")') then
      'the input: the payload is nested more than 100 levels deep, the limit is 100'
  end;
begin
  if wrong is not null then
    raise exception using errcode = 'IN400', message = wrong;
  end if;
end $$;

-- Takes a key for an intent, or returns the intent that was asked for with it before. The unique index decides between
-- two requests: whoever comes second waits for the first one's transaction. A key that was taken here has no hash of its
-- body; both sides then compare the body with the intent's row.
create function intendant.claim_key(account text, key text, new_id uuid, kind text, input jsonb) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  known uuid;
  is_same boolean;
begin
  insert into intendant.key as k (account, key, intent_id, body_hash, expires_at)
  values (coalesce(claim_key.account, ''), claim_key.key, new_id, '', clock_timestamp() + interval '720 hours')
  on conflict (account, key) do update
     set intent_id = excluded.intent_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
   where k.expires_at <= clock_timestamp();
  if found then
    return null;
  end if;
  select k.intent_id, coalesce(i.kind = claim_key.kind and i.input::jsonb = claim_key.input, false)
    into known, is_same
    from intendant.key k left join intendant.intent i on i.id = k.intent_id
   where k.account = coalesce(claim_key.account, '') and k.key = claim_key.key;
  if not found then
    raise exception using errcode = '40001',
      message = format('the key `%s` was taken while this transaction ran; try again in a new transaction',
                       claim_key.key);
  elsif not is_same then
    raise exception using errcode = 'IN409',
      message = format('the key `%s` was used for another request, intent %s; use a new key for a new request',
                       claim_key.key, known);
  end if;
  return known;
end $$;

-- Asks for an intent, within the caller's transaction. Takes no lock that a worker waits for; another request waits for it
-- only if it has the same key.
create function intendant.request(
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
