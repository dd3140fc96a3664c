# Strategy Performance Dashboard
import asyncio
import aiohttp
from datetime import datetime

class StrategyMonitor:
    def __init__(self):
        self.base_url = "http://localhost:8700"
    
    async def monitor_executions(self):
        """Monitor all active strategy executions"""
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.base_url}/executions") as response:
                    executions = await response.json()
                
                print(f"\n=== Strategy Execution Report - {datetime.now()} ===")
                
                for execution in executions['executions']:
                    print(f"Strategy: {execution['strategy_id']}")
                    print(f"Status: {execution['status']}")
                    print(f"P&L: ${execution['pnl']:.2f}")
                    print(f"Trades: {execution['trade_count']}")
                    
                    metrics = execution['performance_metrics']
                    print(f"Sharpe Ratio: {metrics['sharpe_ratio']:.2f}")
                    print(f"Max Drawdown: {metrics['max_drawdown']:.1%}")
                    print(f"Win Rate: {metrics['win_rate']:.1%}")
                    print("-" * 40)
                
                await asyncio.sleep(30)  # Update every 30 seconds

# Monitor strategies
monitor = StrategyMonitor()
asyncio.run(monitor.monitor_executions())
