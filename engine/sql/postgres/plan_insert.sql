-- Tick: shapes of plans, once per hash.
insert into intendant.plan (hash, shape)
select n.hash, n.shape::json from unnest($1::text[], $2::text[]) as n (hash, shape) order by n.hash
on conflict (hash) do nothing
