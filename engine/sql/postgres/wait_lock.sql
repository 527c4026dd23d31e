-- Tick: locks all wait rows that it will change, parents of what finishes and intents that park, in one order.
select intent_id from intendant.wait where intent_id = any ($1::uuid[]) order by intent_id for update
