-- Secrets: fields of inputs that are sealed before they are stored.
--
-- The database's own key seals where the user has given none: so nobody sees a secret who looks at rows, views, pages and
-- answers. Whoever reads this table can open them; roles that are to see the history only have no grant on it.
create table intendant.secret_key (
  id text primary key check (id = 'database'),
  key bytea not null check (octet_length(key) = 32),
  created_at timestamptz not null default clock_timestamp()
);
-- Three random UUIDs have 366 random bits.
insert into intendant.secret_key (id, key)
values ('database', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Plain SQL cannot seal: a kind whose schema calls a field secret is asked for in another way.
create function intendant.check_sealing(kind text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  if exists (select from intendant.kind k where k.kind = check_sealing.kind and k.input_schema::text ~ '"writeOnly": ?true') then
    raise exception using errcode = 'IN400', message = format(
      'the input of `%s` has secret fields, which plain SQL cannot seal; ask for it by the library, HTTP or the command line',
      check_sealing.kind);
  end if;
end $$;

-- As it was, with that check in front (0026 has its text).
do $$
declare
  asking constant regprocedure := (select p.oid from pg_proc p
    where p.pronamespace = 'intendant'::regnamespace and p.proname = 'request');
begin
  execute replace(pg_get_functiondef(asking), 'perform intendant.check_backlog(lane);',
                  'perform intendant.check_sealing(request.kind);' || chr(10) || '  perform intendant.check_backlog(lane);');
end $$;
