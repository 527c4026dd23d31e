-- Admit: everybody in the lines for these resources, for kinds with rules. Primary key.
select resource, intent_id, mode, position, sharing, among, false from intendant.line where resource = any ($1::text[])
