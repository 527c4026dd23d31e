-- Admit and finish: those in the lines for these resources whose kind goes side by side with some. Index line_sharing, which
-- SQLite would not choose by itself.
select l.resource, l.intent_id, l.mode, l.position, l.sharing, l.among, 0
  from jsonb_each(?1) n
  join intendant_line l indexed by intendant_line_sharing on l.resource = n.value and l.sharing
