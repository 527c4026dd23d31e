-- Long lines: who is next is found by index, however many wait.

-- Among whom one waits: 'all'; 'kin' of somebody who holds something; the id of the nearest ancestor that holds it. '?' is
-- what a version writes that does not know of it.
alter table intendant_line add column among text not null default '?';
update intendant_line set among = 'all'
 where exists (select 1 from intendant_intent i where i.id = intent_id and i.parent_id is null);
create index intendant_line_among on intendant_line (resource, among, mode, position, intent_id);
create index intendant_line_sharing on intendant_line (resource, position) where sharing;

-- Kin pass the others for a minute, and families keep to themselves.
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
   where (l.mode = 'exclusive' or e.mode = 'exclusive')
     and (e.among = l.among or l.among in ('all', '?') or e.among = '?'
       or (l.among = 'kin'
         and (e.among <> 'all' or e.position <= (unixepoch('subsec') - 60) * 1000000)));
