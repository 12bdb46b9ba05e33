"""How much of an actor's time goes into windows, in a gang whose windows take a set time."""
