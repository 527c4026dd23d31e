-- Families: what an intent holds for itself it holds for its descendants, who exclude each other.

-- An ancestor holds it for itself and its family; this one holds it among the family.
alter table intendant.holder add column covered boolean not null default false;
drop index intendant.holder_exclusive;
create unique index holder_exclusive on intendant.holder (resource) where mode = 'exclusive' and not beside and not covered;

-- An ancestor holds something: it may be part of a circle.
alter table intendant.blocked add column kin boolean not null default false;
create index blocked_kin on intendant.blocked (intent_id) where kin;

-- Nobody waits for an ancestor.
drop view intendant.links;
create view intendant.links as
  select intent_id, relation, other_id, resource, at from intendant.link
  union all
  select l.intent_id, 'blocked by', h.intent_id, l.resource, null
    from intendant.line l
    join intendant.blocked b on b.intent_id = l.intent_id
    join intendant.holder h on h.resource = l.resource and h.intent_id <> l.intent_id
   where (l.mode = 'exclusive' or h.mode = 'exclusive')
     and not exists (
         with recursive up (id) as (
           select i.parent_id from intendant.intent i where i.id = l.intent_id
           union all
           select i.parent_id from up join intendant.intent i on i.id = up.id)
         select from up where up.id = h.intent_id)
  union all
  select l.intent_id, 'blocked by', e.intent_id, l.resource, null
    from intendant.line l
    join intendant.blocked b on b.intent_id = l.intent_id
    join intendant.line e on e.resource = l.resource and (e.position, e.intent_id) < (l.position, l.intent_id)
   where l.mode = 'exclusive' or e.mode = 'exclusive';
