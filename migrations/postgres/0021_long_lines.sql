-- Long lines: who is next is found by index, however many wait.

-- Among whom one waits: 'all'; 'kin' of somebody who holds something; the id of the nearest ancestor that holds it. '?' is
-- what a version writes that does not know of it.
alter table intendant.line add column among text not null default '?';
update intendant.line l set among = 'all'
  from intendant.intent i where i.id = l.intent_id and i.parent_id is null;
create index line_among on intendant.line (resource, among, mode, position, intent_id);
create index line_sharing on intendant.line (resource, position) where sharing;

-- Kin pass the others for a minute, and families keep to themselves.
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
   where (l.mode = 'exclusive' or e.mode = 'exclusive')
     and (e.among = l.among or l.among in ('all', '?') or e.among = '?'
       or (l.among = 'kin'
         and (e.among <> 'all' or e.position <= (extract(epoch from clock_timestamp()) - 60) * 1000000)));
