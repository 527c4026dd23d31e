-- Admit: everybody in the lines for these resources, for kinds with rules. Primary key.
select resource, intent_id, mode, position, sharing, among, 0
  from intendant_line where resource in (select n.value from jsonb_each(?1) n)
