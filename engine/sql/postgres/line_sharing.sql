-- Admit and finish: those in the lines for these resources whose kind goes side by side with some. Index line_sharing.
select resource, intent_id, mode, position, sharing, among, false
  from intendant.line where resource = any ($1::text[]) and sharing
