-- Retention: which of these intents have to stay, and so their trees: those that are unfinished, since a person has resumed them
-- after their root; those that hold something, which nobody lets go but a person; and those that a lease still names beside others
-- that run, since to a reaper what has no outcome is unfinished; and those that have finished only just now. Primary keys;
-- index holder_by_intent; the leases of the moment. 1 intents, 2 just now (microseconds).
with leased (id) as materialized (
  select t.id from intendant.lease l cross join lateral unnest(l.tasks) as t (id) where t.id = any ($1::uuid[])
)
select i.id, i.root_id, (select min(h.resource) from intendant.holder h where h.intent_id = i.id), o.intent_id is null,
       coalesce(o.finished_at > clock_timestamp() - $2::bigint * interval '1 microsecond', false)
  from intendant.intent i left join intendant.outcome o on o.intent_id = i.id
 where i.id = any ($1::uuid[])
   and (o.intent_id is null or o.finished_at > clock_timestamp() - $2::bigint * interval '1 microsecond'
        or exists (select from intendant.holder h where h.intent_id = i.id)
        or i.id in (select l.id from leased l))
