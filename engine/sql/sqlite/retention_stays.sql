-- Retention: which of these intents have to stay, and so their trees: those that are unfinished, since a person has resumed them
-- after their root; those that hold something, which nobody lets go but a person; and those that a lease still names beside others
-- that run, since to a reaper what has no outcome is unfinished; and those that have finished only just now. Primary keys;
-- index intendant_holder_by_intent; the leases of the moment. 1 intents, 2 just now (microseconds), 3 now.
with leased (id) as materialized (
  select t.value from intendant_lease l, jsonb_each(l.tasks) t
)
select i.id, i.root_id, (select min(h.resource) from intendant_holder h where h.intent_id = i.id), o.intent_id is null,
       coalesce(o.finished_at > ?3 - ?2, 0)
  from intendant_intent i left join intendant_outcome o on o.intent_id = i.id
 where i.id in (select n.value from jsonb_each(?1) n)
   and (o.intent_id is null or o.finished_at > ?3 - ?2
        or exists (select 1 from intendant_holder h where h.intent_id = i.id)
        or i.id in (select l.id from leased l))
