-- Families: what an intent holds for itself it holds for its descendants, who exclude each other.

-- An ancestor holds it for itself and its family; this one holds it among the family.
alter table intendant_holder add column covered integer not null default 0;
drop index intendant_holder_exclusive;
create unique index intendant_holder_exclusive on intendant_holder (resource)
  where mode = 'exclusive' and not beside and not covered;

-- An ancestor holds something: it may be part of a circle.
alter table intendant_blocked add column kin integer not null default 0;
create index intendant_blocked_kin on intendant_blocked (intent_id) where kin;

-- Nobody waits for an ancestor.
drop view intendant_links;
create view intendant_links as
  select intent_id, relation, other_id, resource, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at
    from intendant_link
  union all
  select l.intent_id, 'blocked by', h.intent_id, l.resource, null
    from intendant_line l
    join intendant_blocked b on b.intent_id = l.intent_id
    join intendant_holder h on h.resource = l.resource and h.intent_id <> l.intent_id
   where (l.mode = 'exclusive' or h.mode = 'exclusive')
     and not exists (
         with recursive up (id) as (
           select i.parent_id from intendant_intent i where i.id = l.intent_id
           union all
           select i.parent_id from up join intendant_intent i on i.id = up.id)
         select 1 from up where up.id = h.intent_id)
  union all
  select l.intent_id, 'blocked by', e.intent_id, l.resource, null
    from intendant_line l
    join intendant_blocked b on b.intent_id = l.intent_id
    join intendant_line e on e.resource = l.resource and (e.position, e.intent_id) < (l.position, l.intent_id)
   where l.mode = 'exclusive' or e.mode = 'exclusive';
