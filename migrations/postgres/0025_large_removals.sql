-- Large removals: trees that do not fit in one transaction of retention.

-- A tree is looked through first, page by page. Whoever runs something of it again meanwhile takes the look away, and it begins
-- anew. Once all of it may go, it does, whatever the rules say by then: whoever is interrupted leaves it to the next.
create table intendant.retention_large (
  intent_id uuid not null,
  what text not null check (what in ('rows', 'payloads')),
  -- The rule by which it goes is that of its root's kind and state.
  kind text not null,
  state text not null,
  -- Who looks through it knows this number; null: nobody does.
  look uuid,
  -- All of it may go, and some of it has gone.
  goes boolean not null default false,
  primary key (intent_id, what)
);

-- As before; but what retention has removed is told by its own column, and not by a null that an input may be as well.
create or replace function intendant.claim_key(account text, key text, new_id uuid, kind text, input jsonb) returns uuid
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
  select k.intent_id,
         coalesce(i.kind = claim_key.kind
                  and (i.input::jsonb = claim_key.input or i.payload_removed_at is not null), true)
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
